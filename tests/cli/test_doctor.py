"""The doctor looks at everything, says the mend of what is not well, and fails only where `up` could not work."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from infra.runtime_dir import RuntimeDir
from infra.temporal.configure import Ports
from tests.cli.run import puchify
from tests.fix_dns import free_ports
from workers.doctor.finding import Finding
from workers.doctor.packages import groups
from workers.doctor.report import lines, works

LOOKED_AT = {"user", "memory", "disk", "python", "postgres", "temporal-server", "kvm", "reflink", "nftables", "tun"}
LOOKED_AT |= {"br_netfilter", "powerdns", "ports of PowerDNS", "haproxy"}


def free(tmp_path: Path) -> dict[str, object]:
    ports = Ports.free()
    return {
        "state": tmp_path / "state",
        "host": "simulated",
        "api_port": ports.worker,
        "temporal_address": f"127.0.0.1:{ports.frontend}",
        "temporal_ui": f"http://127.0.0.1:{ports.ui}",
        "dns_port": free_ports(),
    }


def test_for_programs(tmp_path: Path) -> None:
    told = json.loads(puchify("doctor", "--json", **free(tmp_path)).out)
    assert told.keys() == {"works", "findings"}
    assert {finding["name"] for finding in told["findings"]} >= LOOKED_AT
    for finding in told["findings"]:
        assert finding.keys() == {"name", "state", "found", "mend"}
        assert finding["state"] in ("ok", "note", "bad")
        assert bool(finding["mend"]) is (finding["state"] != "ok"), finding
    assert not (tmp_path / "state").exists()  # it only looks


def test_a_taken_port_is_bad(tmp_path: Path) -> None:
    settings = free(tmp_path)
    with socket.create_server(("127.0.0.1", int(str(settings["api_port"])))):
        ended = puchify("doctor", **settings)
    assert ended.code == 1
    assert f"{settings['api_port']} cannot be had" in ended.out
    assert "mend: stop whoever has it" in ended.out


def test_names_that_nobody_answers_are_told_of(tmp_path: Path) -> None:
    ended = puchify("doctor", **{**free(tmp_path), "dns_api_url": ""})
    assert "zones and servers' names are kept only: nobody answers for them" in ended.out


def test_its_own_ports_are_well(tmp_path: Path) -> None:
    settings = free(tmp_path)
    with RuntimeDir(tmp_path / "state"):
        ended = puchify("doctor", **settings)
    assert f"in use by the Puchify that runs here (pid {os.getpid()})" in ended.out


@pytest.mark.parametrize(("state", "verdict"), [("ok", True), ("note", True), ("bad", False)])
def test_only_what_is_bad_stands_in_the_way(state: str, verdict: bool) -> None:
    findings = [Finding("kvm", state, "as it is", "see dmesg")]  # type: ignore[arg-type]
    assert works(findings) is verdict
    assert any("mend: see dmesg" in line for line in lines(findings))


def test_every_package_has_a_group() -> None:
    assert all(groups().values())
    assert {"Python", "Engines"} <= groups().keys()
