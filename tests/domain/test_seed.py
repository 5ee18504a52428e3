"""The network document of a seed, word for word, and read by the tiny guest's own parser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.domain.seed import seed_of
from tests.guest_examples import AROUND, KEYS, MACHINE, PLANS
from tests.guests.test_tiny import parsed

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", PLANS)
def test_the_network_document_is_as_agreed(name: str) -> None:
    seed, golden = seed_of(MACHINE, PLANS[name], list(KEYS), "", "", AROUND), GOLDEN / f"seed-{name}.json"
    if os.environ.get("PUCHIFY_GOLDEN") == "write":
        golden.write_text(seed.network_config)
    assert seed.network_config == golden.read_text()


def test_the_tiny_guest_reads_every_interface() -> None:
    document = seed_of(MACHINE, PLANS["in-networks"], [], "", "", AROUND).network_config
    assert parsed("netplan.awk", document) == [
        "interface eth0 02:00:00:00:12:67 -",
        "address eth0 203.0.113.7/32",
        "address eth0 2001:db8:100:7::1/64",
        "route eth0 default 172.31.1.1",
        "route eth0 default fe80::1",
        "nameserver eth0 192.0.2.53",
        "nameserver eth0 2001:db8::53",
        "interface eth1 06:00:00:00:00:47 1450",
        "address eth1 10.8.0.71/16",
        "address eth1 10.8.9.9/32",
        "address eth1 10.8.9.10/32",
        "route eth1 10.99.0.0/16 10.8.0.9",
        "interface eth2 06:00:00:00:00:48 1450",
        "address eth2 192.168.0.72/24",
    ]
