"""What can be expected to go wrong ends in one clear line, never in a traceback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime_dir import RuntimeDir
from infra.temporal.configure import Ports
from tests.cli.run import Ended, puchify


def assert_one_line(ended: Ended, code: int, *parts: str) -> None:
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("puchify: ")
    assert ended.err.count("\n") == 1, ended.err
    for part in parts:
        assert part in ended.err


def test_every_malformed_setting_is_reported_together(tmp_path: Path) -> None:
    ended = puchify("db", "migrate", state=tmp_path, api_port="eighty", host="vmware")
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert [line.split(":")[:2] for line in lines] == [["puchify", " PUCHIFY_HOST"], ["puchify", " PUCHIFY_API_PORT"]]


@pytest.mark.parametrize("vteps", ["[]", '["10.254.0.0/16"]'])
def test_a_tunnel_end_that_no_network_of_them_has(vteps: str) -> None:
    assert_one_line(puchify("deadlines", vtep="10.255.0.1", vteps=vteps), 2, "PUCHIFY_VTEPS", "10.255.0.1")


@pytest.mark.parametrize(
    "words",
    [
        ("db", "migrate"),
        ("key", "create", "--user", "ada", "--project", "engines"),
        ("key", "list"),
        ("project", "create", "engines", "--max-servers", "3"),
        ("quota", "list"),
    ],
)
def test_without_a_database(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = puchify(*words, state=tmp_path, database_url=f"postgresql:///nowhere?host={tmp_path}")
    assert_one_line(ended, 1, "the database does not answer")


def test_a_worker_without_temporal(tmp_path: Path) -> None:
    ended = puchify("worker", "region", state=tmp_path, temporal_address=f"127.0.0.1:{Ports.free().frontend}")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "puchify: the orchestration service does not answer"


@pytest.mark.parametrize("words", [("worker", "edge"), ("edge", "haproxy")])
def test_an_edge_without_haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """It does not pass for one that serves, unless somebody says that it is simulated."""
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = puchify(*words, state=tmp_path, edge_run=tmp_path / "edge")
    assert_one_line(ended, 1, "an edge needs HAProxy")


def test_a_wrong_question() -> None:
    assert puchify("up", "--host", "vmware").code == 2
    assert puchify("project", "create", "engines", "--max-servers", "-1").code == 2
    assert puchify("image", "build", "windows").code == 2
    assert puchify("quota", "set", "planet", "earth", "--servers", "1").code == 2
    assert puchify("quota", "approve", "all").code == 2
    assert puchify("key", "revoke", "laptop").code == 2


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[RuntimeDir]:
    with RuntimeDir(tmp_path / "state") as runtime:
        yield runtime


@pytest.mark.parametrize("words", [("up", "--host", "simulated"), ("clean",)])
def test_a_second_one_says_who_runs_already(runtime: RuntimeDir, words: tuple[str, ...]) -> None:
    assert_one_line(puchify(*words, state=runtime.state), 1, f"pid {os.getpid()}", str(runtime.state))
    assert runtime.state.exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    ports = Ports.free()
    with socket.create_server(("127.0.0.1", ports.frontend)):
        ended = puchify(
            *("up", "--once", "--host", "simulated"),
            state=tmp_path / "state",
            temporal_address=f"127.0.0.1:{ports.frontend}",
            temporal_ui=f"http://127.0.0.1:{ports.ui}",
        )
    assert ended.code == 1
    assert f"somebody else listens on port {ports.frontend}" in ended.err
    assert "Traceback" not in ended.err
    assert "Stopping" in ended.out or "PostgreSQL" in ended.out


def test_nothing_to_clean(tmp_path: Path) -> None:
    ended = puchify("clean", state=tmp_path / "state")
    assert (ended.code, ended.err) == (0, "")
