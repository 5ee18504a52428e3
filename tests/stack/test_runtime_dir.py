"""The runtime directory: reachable by service users, found again after a kill, gone when closed, alone with itself."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.runtime_dir import RuntimeDir, RuntimeDirError, mounts_below

KILLED = """
import os, signal, sys
from pathlib import Path
from infra.runtime_dir import RuntimeDir
runtime = RuntimeDir(Path(sys.argv[1])).open()
runtime.bind(Path(sys.argv[1]) / "data", "data", "postgres")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory that no service user can reach."""
    (tmp_path / "private").mkdir(mode=0o700)
    return tmp_path / "private" / "state"


def test_a_service_user_gets_where_it_could_not(state: Path) -> None:
    with RuntimeDir(state) as runtime:
        bound = runtime.bind(state / "data", "data", "postgres")
        (bound / "file").write_text("here")
        assert (state / "data" / "file").read_text() == "here"
        assert bound.owner() == "postgres"
        assert _as("postgres", "ls", bound).stdout == "file\n"
        assert "Permission denied" in _as("postgres", "ls", state / "data").stderr
        assert "Permission denied" in _as("postgres", "ls", runtime.path).stderr  # passes through, lists nothing
        assert len(str(runtime.path)) < 40


def test_closing_leaves_nothing_but_the_data(state: Path) -> None:
    runtime = RuntimeDir(state).open()
    for name in ("data", "more"):
        (runtime.bind(state / name, name) / "file").touch()
    (runtime.directory("sockets", "postgres") / "socket").touch()
    runtime.close()
    runtime.close()
    assert not runtime.path.exists()
    assert not mounts_below(runtime.path)
    assert (state / "data" / "file").exists()
    assert (state / "more" / "file").exists()


def test_one_process_at_a_time(state: Path) -> None:
    with RuntimeDir(state), pytest.raises(RuntimeDirError, match=f"pid {os.getpid()}.*choose another state directory"):
        RuntimeDir(state).open()
    RuntimeDir(state).open().close()


def test_what_a_killed_predecessor_left_is_taken_over_and_removed(state: Path, tmp_path: Path) -> None:
    with RuntimeDir(tmp_path / "other") as other:
        beside = other.bind(tmp_path / "other" / "data", "data")
        _killed_on(state)
        left = mounts_below(RuntimeDir(state).path)
        assert len(left) == 1
        with RuntimeDir(state) as runtime:
            bound = runtime.bind(state / "data", "data", "postgres")
            assert mounts_below(runtime.path) == [bound] == left  # not mounted twice
        assert not mounts_below(runtime.path)
        assert mounts_below(other.path) == [beside]


def test_a_mount_of_what_is_no_longer_there_is_replaced(state: Path) -> None:
    _killed_on(state)
    (state / "data").rename(state / "moved")
    with RuntimeDir(state) as runtime:
        bound = runtime.bind(state / "data", "data")
        assert bound.samefile(state / "data")
        assert mounts_below(runtime.path) == [bound]


def test_what_a_killed_predecessor_left_goes_without_being_bound_again(state: Path) -> None:
    _killed_on(state)
    RuntimeDir(state).open().close()
    assert not RuntimeDir(state).path.exists()
    assert (state / "data").is_dir()


def test_an_unknown_owner_is_named(state: Path) -> None:
    with RuntimeDir(state) as runtime, pytest.raises(RuntimeDirError, match="no system user 'nobody-here'"):
        runtime.bind(state / "data", "data", "nobody-here")


def _killed_on(state: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(state)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode == -signal.SIGKILL


def _as(user: str, program: str, path: Path) -> subprocess.CompletedProcess[str]:
    who = pwd.getpwnam(user)
    return subprocess.run(
        [program, str(path)],
        user=who.pw_uid,
        group=who.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
    )
