"""Reverse zones: every address of a pool has its name in one zone, and nobody else may have that."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.reverse_zones import is_taken, network_of, ptr_name, reverse_zone

POOLS = ["203.0.113.0/24", "198.51.100.64/26", "10.0.0.0/22", "2001:db8:100::/48", "2001:db8:8000::/45"]


@pytest.mark.parametrize(
    ("ip", "zone"),
    [
        ("203.0.113.9", "113.0.203.in-addr.arpa"),
        ("198.51.100.70", "100.51.198.in-addr.arpa"),
        ("10.0.3.1", "3.0.10.in-addr.arpa"),
        ("2001:db8:100:5::1", "0.0.1.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ("2001:db8:8007::1", "7.0.0.8.8.b.d.0.1.0.0.2.ip6.arpa"),
        ("198.51.100.1", None),
        ("2001:db8:8008::1", None),
    ],
)
def test_the_zone_of_an_address(ip: str, zone: str | None) -> None:
    assert reverse_zone(ip, POOLS) == zone


@given(st.sampled_from(POOLS), st.integers(0, 2**128))
def test_the_name_of_an_address_lies_in_its_zone_and_the_zone_holds_the_address(pool: str, at: int) -> None:
    network = ip_network(pool)
    ip = str(network[at % network.num_addresses])
    zone = reverse_zone(ip, POOLS)
    assert zone is not None
    assert ptr_name(ip).endswith(f".{zone}")
    held = network_of(zone, POOLS)
    assert held is not None
    assert ip_address(ip) in held


@pytest.mark.parametrize(
    ("zone", "taken"),
    [
        ("113.0.203.in-addr.arpa", True),
        ("0.203.in-addr.arpa", True),
        ("5.113.0.203.in-addr.arpa", True),
        ("in-addr.arpa", True),
        ("100.51.198.in-addr.arpa", True),
        ("0-63.100.51.198.in-addr.arpa", True),
        ("2.0.192.in-addr.arpa", False),
        ("0.0.1.0.8.b.d.0.1.0.0.2.ip6.arpa", True),
        ("1.0.1.0.8.b.d.0.1.0.0.2.ip6.arpa", False),
        ("in-addr.arpa.example", False),
        ("example.com", False),
    ],
)
def test_the_zones_of_pools_are_nobody_elses(zone: str, taken: bool) -> None:
    assert is_taken(zone, POOLS) is taken


@pytest.mark.parametrize("zone", ["example.com", "0.203.in-addr.arpa", "300.0.203.in-addr.arpa", "x.ip6.arpa"])
def test_what_is_no_reverse_zone_of_a_pool_holds_nothing(zone: str) -> None:
    assert network_of(zone, POOLS) is None
