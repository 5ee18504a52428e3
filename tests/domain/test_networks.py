"""Networks: whatever is asked for, subnets never overlap, routes never clash, and no address is given twice."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.networks import (
    PRIVATE,
    Route,
    Subnet,
    mac_of,
    next_subnet,
    range_problem,
    route_problem,
    subnet_problem,
    widening_problem,
)

TEN = IPv4Network("10.0.0.0/16")


@st.composite
def ranges(draw: st.DrawFn, shortest: int = 8, longest: int = 32) -> IPv4Network:
    length = draw(st.integers(shortest, longest))
    inside = draw(st.sampled_from(PRIVATE))
    length = max(length, inside.prefixlen)
    offset = draw(st.integers(0, inside.num_addresses - 1))
    return IPv4Network((int(inside.network_address) + offset & ~(2 ** (32 - length) - 1), length))


@given(st.lists(ranges(16, 32), max_size=12))
def test_subnets_that_are_granted_lie_inside_and_apart(asked: list[IPv4Network]) -> None:
    granted: list[Subnet] = []
    for ip_range in asked:
        if subnet_problem(TEN, granted, ip_range) is None:
            granted.append(Subnet(ip_range, "eu"))

    for one in granted:
        assert one.ip_range.subnet_of(TEN)
        assert one.ip_range.prefixlen <= 30
        assert not any(one is not other and one.ip_range.overlaps(other.ip_range) for other in granted)


@given(st.lists(ranges(16, 28), max_size=8))
def test_the_next_subnet_can_be_granted(asked: list[IPv4Network]) -> None:
    granted = [Subnet(one, "eu") for one in asked if one.subnet_of(TEN)]

    found = next_subnet(TEN, granted)

    assert found is None or subnet_problem(TEN, granted, found) is None


def test_subnets_that_nobody_named_follow_one_another() -> None:
    granted: list[Subnet] = []
    for _ in range(256):
        found = next_subnet(TEN, granted)
        assert found is not None
        granted.append(Subnet(found, "eu"))

    assert [str(one.ip_range) for one in granted[:2]] == ["10.0.0.0/24", "10.0.1.0/24"]
    assert next_subnet(TEN, granted) is None


@pytest.mark.parametrize(
    ("text", "fine"),
    [("10.0.0.0/8", True), ("192.168.1.0/24", True), ("192.168.1.0/25", False), ("8.8.8.0/24", False)],
)
def test_a_network_is_private_and_not_small(text: str, fine: bool) -> None:
    assert (range_problem(IPv4Network(text)) is None) == fine


@pytest.mark.parametrize(
    ("destination", "gateway", "field"),
    [
        ("10.100.1.0/24", "10.0.1.5", None),
        ("0.0.0.0/0", "10.0.1.5", None),
        ("10.0.1.0/25", "10.0.1.5", "destination"),  # a subnet
        ("10.200.0.0/16", "10.0.1.5", "destination"),  # a route
        ("8.8.8.0/24", "10.0.1.5", "destination"),
        ("10.100.1.0/24", "10.0.0.1", "gateway"),  # the network's own
        ("10.100.1.0/24", "192.168.0.5", "gateway"),
    ],
)
def test_a_route_that_cannot_be_names_the_field(destination: str, gateway: str, field: str | None) -> None:
    subnets = [Subnet(IPv4Network("10.0.1.0/24"), "eu")]
    routes = [Route(IPv4Network("10.200.1.0/24"), IPv4Address("10.0.1.9"))]

    problem = route_problem(TEN, subnets, routes, Route(IPv4Network(destination), IPv4Address(gateway)))

    assert (problem[0] if problem else None) == field


@pytest.mark.parametrize(
    ("wider", "fine"),
    [("10.0.0.0/16", True), ("10.0.0.0/12", True), ("10.0.0.0/17", False), ("10.1.0.0/16", False)],
)
def test_a_range_only_widens(wider: str, fine: bool) -> None:
    assert (widening_problem(TEN, IPv4Network(wider)) is None) == fine


@given(st.sets(st.integers(1, 2**40 - 1), min_size=2, max_size=2))
def test_each_member_has_a_mac_of_its_own(members: set[int]) -> None:
    assert len({mac_of(member) for member in members}) == 2
    assert all(int(mac_of(member)[:2], 16) & 3 == 2 for member in members)  # local, and one station's
