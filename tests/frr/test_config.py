"""frr.conf, word for word, and as FRR itself reads it: what a machine of the fabric is told changes only when meant.

``PUCHIFY_GOLDEN=write pytest tests/frr`` writes the golden files anew.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from infra.domain.errors import InvalidInput
from infra.frr.config import host_conf, router_conf, upstream_conf
from infra.frr.values import Fabric, HostRouting, RouterRouting, Upstream, UpstreamRouting
from tests.cli.run import puchify

GOLDEN = Path(__file__).parent / "golden"
FABRIC = Fabric(("203.0.113.0/24", "2001:db8:100::/40"))
WORLD = Upstream(64500, "198.51.100.10", "2001:db8:ffff::10")
HOST = HostRouting("h1", 4200000001, "10.255.0.1")
CONFS = {
    "host": host_conf(HOST, FABRIC),
    "host-of-two-pools": host_conf(HOST, Fabric(("203.0.113.0/24", "198.18.0.0/20", "2001:db8:100::/40"))),
    "router": router_conf(RouterRouting("r1", "10.255.1.1", ("h1", "h2", "e1"), WORLD), FABRIC),
    "lone-router": router_conf(RouterRouting("r1", "10.255.1.1", ("h1",), WORLD, peer=None), FABRIC),
    "outside": upstream_conf(
        UpstreamRouting("out", 64500, "198.51.100.10", ("198.51.100.1", "2001:db8:ffff::1")), FABRIC
    ),
}


@pytest.mark.parametrize("name", CONFS)
def test_configuration(name: str) -> None:
    golden = GOLDEN / f"{name}.conf"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(CONFS[name])
    assert golden.read_text() == CONFS[name]


@pytest.mark.parametrize("name", CONFS)
def test_frr_understands_it(name: str) -> None:
    read = subprocess.run(
        ("vtysh", "--dryrun", "--inputfile", str(GOLDEN / f"{name}.conf")), capture_output=True, text=True
    )
    assert read.returncode == 0, read.stdout + read.stderr
    assert "Unknown command" not in read.stdout + read.stderr


def test_an_operator_gets_a_hosts() -> None:
    told = puchify(
        *("frr", "config", "host", "--name", "h1", "--asn", "4200000001", "--router-id", "10.255.0.1"),
        *("--uplink", "up1", "--uplink", "up2"),
        address_pools='["203.0.113.0/24", "2001:db8:100::/40"]',
    )
    assert told.code == 0, told.err
    assert told.out == CONFS["host"]


@pytest.mark.parametrize(
    ("host", "field"),
    [
        (HostRouting("h", 0, "10.255.0.1"), "asn"),
        (HostRouting("h", 1, "fe80::1"), "router-id"),
        (HostRouting("h", 1, "10.255.0.1", ()), "uplink"),
    ],
)
def test_what_no_fabric_can_use_is_refused(host: HostRouting, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        host.check()
    assert field in str(refused.value.details)
