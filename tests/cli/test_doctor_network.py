"""What the doctor says of what carries packets beyond this machine, with programs that answer as they are told to."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from infra.config import Settings
from infra.db import edges
from infra.db.locations import ensure_location
from infra.db.pool import open_pool
from tests.cli.run import puchify
from tests.cli.test_doctor import free
from tests.fix_stack import NewDatabase
from workers.doctor.finding import Finding
from workers.doctor.network import findings

NOWHERE = {"database_url": "postgresql://127.0.0.1:1/none"}


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All programs that there are: none, but those that the test puts there."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def program(bin: Path, name: str, script: str) -> None:
    (bin / name).write_text(f"#!/bin/sh\n{script}\n")
    (bin / name).chmod(0o755)


def found(tmp_path: Path, name: str, libvirt: bool = True, vtep: str = "") -> Finding | None:
    settings = Settings(state=tmp_path / "state", vtep=vtep, vteps=["10.255.0.0/16"], **NOWHERE)  # type: ignore[arg-type]
    return next((one for one in findings(settings, libvirt) if one.name == name), None)


@pytest.mark.parametrize(("libvirt", "state"), [(True, "bad"), (False, "note")])
def test_an_edge_that_is_real_needs_haproxy(bin: Path, tmp_path: Path, libvirt: bool, state: str) -> None:
    missing = found(tmp_path, "haproxy", libvirt)
    assert missing
    assert (missing.state, "install" in missing.mend) == (state, True)

    program(bin, "haproxy", "exit 0")
    assert found(tmp_path, "haproxy", libvirt) == Finding("haproxy", "ok", "installed")


def test_a_host_among_others_needs_frr_that_runs(bin: Path, tmp_path: Path) -> None:
    assert found(tmp_path, "frr") is None
    missing = found(tmp_path, "frr", vtep="10.255.0.1")
    assert missing
    assert (missing.state, "apt-get install frr" in missing.mend) == ("note", True)

    program(bin, "vtysh", '[ "$2" = zebra ]')
    stopped = found(tmp_path, "frr", vtep="10.255.0.1")
    assert stopped
    assert stopped.found.startswith("bgpd, bfdd not running")
    assert "/etc/frr/daemons" in stopped.mend

    program(bin, "vtysh", "exit 0")
    assert found(tmp_path, "frr", vtep="10.255.0.1") == Finding("frr", "ok", "zebra, bgpd, bfdd answer")


def test_who_may_not_ask_frr_is_not_told_that_it_is_down(
    bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bin, "vtysh", "exit 1")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    unasked = found(tmp_path, "frr", vtep="10.255.0.1")
    assert unasked
    assert unasked.found.startswith("could not be asked")
    assert "root" in unasked.mend

    monkeypatch.setattr("os.geteuid", lambda: 0)
    stopped = found(tmp_path, "frr", vtep="10.255.0.1")
    assert stopped
    assert stopped.found.startswith("zebra, bgpd, bfdd not running")


def test_frr_that_does_not_answer_is_asked_once(bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    program(bin, "vtysh", f'echo "$2" >> {asked}; exec /bin/sleep 60')
    monkeypatch.setattr("workers.doctor.network.PATIENCE", 0.5)

    silent = found(tmp_path, "frr", vtep="10.255.0.1")

    assert silent
    assert silent.found.startswith("could not be asked: vtysh was silent")
    assert asked.read_text().split() == ["zebra"]


async def test_edges_that_do_not_report_are_named(new_database: NewDatabase, tmp_path: Path) -> None:
    async with new_database() as url, open_pool(url, 2) as pool:
        settings = {**free(tmp_path), "database_url": url}
        async with pool.connection() as connection:
            await ensure_location(connection, "here")
            for name in ("lively", "mute"):
                await edges.add_edge(connection, "here", name, sha256(name.encode()).digest())
            await connection.execute("UPDATE edges SET reported = now() + interval '1 hour' WHERE name = 'lively'")
        told = puchify("doctor", **settings).out
        assert "mute in here never reported" in told
        assert "puchify worker edge, whose log says why" in told
        assert "lively" not in told
        async with pool.connection() as connection:
            await edges.remove_edge(connection, "mute")
        assert "all 1 report" in puchify("doctor", **settings).out
