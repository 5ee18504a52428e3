"""Temporal's configuration files: side by side without a clash, closed to the outside, known to the server."""

from __future__ import annotations

import json
import subprocess
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from infra.temporal import configure
from infra.temporal.configure import Database, Ports, TemporalSettings
from infra.temporal.install import SERVER, ensure_program


@pytest.fixture
def settings(tmp_path: Path) -> TemporalSettings:
    return TemporalSettings(tmp_path / "temporal", Database(host="/run/somewhere", password="se'cret\n"))


def test_no_port_is_taken_twice() -> None:
    for ports in (Ports(), Ports.beginning_at(20_000), Ports.free()):
        assert len(set(astuple(ports))) == len(astuple(ports))
    assert not set(astuple(Ports.beginning_at(20_000))) & set(astuple(Ports.beginning_at(20_010)))


def test_every_port_is_in_the_files(settings: TemporalSettings) -> None:
    ports = Ports.beginning_at(20_000)
    moved = replace(settings, ports=ports)
    written = json.dumps([configure.server(moved), configure.ui(moved)])
    assert all(str(port) in written for port in astuple(ports))
    assert "0.0.0.0" not in written


def test_a_socket_directory_goes_into_the_attributes(settings: TemporalSettings) -> None:
    store = configure.server(settings)["persistence"]["datastores"]["store"]["sql"]
    assert (store["connectAddr"], store["connectAttributes"]) == ("localhost:5432", {"host": "/run/somewhere"})
    remote = replace(settings, database=Database(host="db.example", port=6432))
    store = configure.server(remote)["persistence"]["datastores"]["store"]["sql"]
    assert (store["connectAddr"], store["connectAttributes"]) == ("db.example:6432", {})


def test_the_password_is_for_us_alone(settings: TemporalSettings) -> None:
    configure.write(settings)
    configure.write(settings)
    assert "se'cret" in settings.server_file.read_text()
    assert settings.server_file.stat().st_mode & 0o077 == 0
    assert "cret" not in repr(settings)


def test_the_server_knows_every_dynamic_key(settings: TemporalSettings) -> None:
    configure.write(settings)
    argv = [str(ensure_program(SERVER, print)), "validate-dynamic-config", str(settings.dynamic_file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "unregistered" not in (done.stdout + done.stderr).lower()
    assert "warning" not in (done.stdout + done.stderr).lower()
