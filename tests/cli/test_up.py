"""`puchify up` from nothing, on a simulated host: a server, proven, twice, and not a trace left of either run."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from infra.runtime_dir import RuntimeDir, mounts_below
from infra.temporal.configure import Ports
from infra.temporal.install import Binaries, ensure_binaries
from tests.cli.run import Ended, argv, environment, puchify
from tests.fix_dns import free_ports


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """Built before anything is timed."""
    return ensure_binaries(lambda line: print(line, flush=True))


@pytest.fixture
def settings(tmp_path: Path, binaries: Binaries) -> dict[str, object]:
    ports, api = Ports.free(), Ports.free()
    return {
        "state": tmp_path / "state",
        "api_port": api.frontend,
        "temporal_address": f"127.0.0.1:{ports.frontend}",
        "temporal_ui": f"http://127.0.0.1:{ports.ui}",
        "dns_port": free_ports(),
    }


def up_once(settings: dict[str, object]) -> Ended:
    return puchify("up", "--once", "--host", "simulated", **settings)


def assert_no_trace(state: Path) -> None:
    runtime = RuntimeDir(state)
    assert not runtime.path.exists()
    assert mounts_below(runtime.path) == []
    assert list((state / "pids").iterdir()) == []
    left = subprocess.run(("pgrep", "--full", "--list-full", str(state)), capture_output=True, text=True).stdout
    assert left == ""


def test_from_nothing_and_again(settings: dict[str, object]) -> None:
    state = Path(str(settings["state"]))
    first = up_once(settings)
    assert (first.code, first.err) == (0, ""), first
    assert re.search(r"^  wait_ready +done +\d[\d,]* ms$", first.out, re.M)
    assert "there is nothing to log in to" in first.out
    assert f"{settings['temporal_ui']}/namespaces/puchify/workflows/server-1-provision" in first.out
    assert_no_trace(state)

    again = up_once(settings)
    assert (again.code, again.err) == (0, ""), again
    assert "No new server was made, because this one is there." in again.out
    token = (state / "token").read_text().strip()
    assert (state / "images/.store-id").exists()  # its images are cared for
    assert len(token) == 64
    assert f"Token        {token}" in first.out
    assert f"Token        {token}" in again.out
    assert_no_trace(state)
    for secret in ("token", "host-key", "api-secret", "keys/id_ed25519"):
        assert stat.S_IMODE((state / secret).stat().st_mode) == 0o600, secret

    assert puchify("clean", **settings).code == 0
    assert not state.exists()


def test_until_it_is_told_to_stop(settings: dict[str, object], tmp_path: Path) -> None:
    """In the foreground: other commands find the books of the instance by its state; SIGTERM ends all of it."""
    state, out = Path(str(settings["state"])), tmp_path / "out"
    with out.open("w") as file:
        running = subprocess.Popen(
            argv("up", "--host", "simulated"), env=environment(**settings), stdout=file, stderr=subprocess.STDOUT
        )
        try:
            wait_for("Ctrl-C stops everything", out, running)
            key = puchify("key", "create", "--user", "ada", "--project", "engines", **settings)
            assert re.fullmatch(r"[A-Za-z0-9]{64}\n", key.out), key
            project = puchify("project", "create", "engines", "--max-servers", "3", **settings)
            assert project.out.startswith("project engines: at most 3 servers, 400 cores"), project
            assert puchify("db", "migrate", **settings).out == "up to date\n"
            assert "in use by the Puchify" in puchify("doctor", **settings).out
        finally:
            running.send_signal(signal.SIGTERM)
            code = running.wait(60)
    assert code == 0, out.read_text()
    assert "Stopped. Nothing is left running." in out.read_text()
    assert_no_trace(state)


def wait_for(words: str, out: Path, running: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while words not in out.read_text():
        assert running.poll() is None, out.read_text()
        assert time.monotonic() < deadline, out.read_text()
        time.sleep(0.1)
