"""Firewalls: a range has one way of being written, rules without sense are refused, and labels say who has which."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.firewalls import (
    PORTS,
    Direction,
    Protocol,
    Rule,
    Side,
    Target,
    canonical_range,
    grouped,
    in_effect,
    named_twice,
    port_problem,
    side_problem,
)
from infra.domain.labels import Selector, matches, terms_of


@st.composite
def networks(draw: st.DrawFn) -> IPv4Network | IPv6Network:
    bits = draw(st.sampled_from([32, 128]))
    length = draw(st.integers(0, bits))
    address = draw(st.integers(0, 2**bits - 1)) >> (bits - length) << (bits - length)
    return IPv4Network((address, length)) if bits == 32 else IPv6Network((address, length))


@given(networks(), st.booleans())
def test_a_range_is_kept_in_one_way_of_writing(network: IPv4Network | IPv6Network, long: bool) -> None:
    written = (network.exploded.upper() if long else str(network)).replace("::/", "::0/")

    assert canonical_range(written) == str(network)
    assert canonical_range(canonical_range(written)) == canonical_range(written)


@given(networks(), st.integers(1))
def test_a_range_with_host_bits_is_refused_and_the_right_one_told(
    network: IPv4Network | IPv6Network, offset: int
) -> None:
    host_bits = offset % network.num_addresses
    address = network.network_address + host_bits

    if host_bits:
        with pytest.raises(ValueError, match="host bits: the range is") as refused:
            canonical_range(f"{address}/{network.prefixlen}")
        assert str(refused.value).endswith(str(network))


@given(st.text(alphabet="0123456789abcdefABCDEF:./%- ", max_size=24))
def test_whatever_is_taken_for_a_range_is_one(text: str) -> None:
    try:
        found = canonical_range(text)
    except ValueError:
        return
    assert str(ip_network(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "any",
        "10.0.0.1",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "::/129",
        "::1",
        "fe80::%1/64",
        "010.0.0.0/8",
        "٣.0.0.0/8",
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an IPv4 or IPv6 range"):
        canonical_range(text)


@pytest.mark.parametrize(
    ("protocol", "port", "fine"),
    [
        ("tcp", "80", True),
        ("udp", "1024-5000", True),
        ("tcp", "1-65535", True),
        ("tcp", "80-80", True),
        ("udp", "any", True),
        ("tcp", None, False),
        ("tcp", "", False),
        ("tcp", "0", False),
        ("tcp", "080", False),
        ("tcp", "65536", False),
        ("tcp", "90-80", False),
        ("tcp", "80-", False),
        ("tcp", "80,443", False),
        ("tcp", "80\n", False),
        ("tcp", "٨٠", False),
        ("icmp", None, True),
        ("icmp", "80", False),
        ("esp", "any", False),
        ("gre", "", False),
    ],
)
def test_ports_are_for_protocols_that_have_them(protocol: Protocol, port: str | None, fine: bool) -> None:
    assert (port_problem(protocol, port) is None) == fine


@given(st.from_regex(PORTS, fullmatch=True))
def test_a_port_that_is_granted_is_a_range_of_ports(port: str) -> None:
    if port_problem("tcp", port) is None:
        first, _, last = port.partition("-")
        assert 1 <= int(first) <= int(last or first) <= 65535


@pytest.mark.parametrize(
    ("direction", "side", "ranges", "fine"),
    [
        ("in", "source_ips", ["::/0"], True),
        ("in", "source_ips", [], False),
        ("in", "destination_ips", [], True),
        ("in", "destination_ips", ["::/0"], False),
        ("out", "destination_ips", ["::/0"], True),
        ("out", "destination_ips", [], False),
        ("out", "source_ips", [], True),
        ("out", "source_ips", ["::/0"], False),
    ],
)
def test_a_rule_has_the_side_of_its_direction(direction: Direction, side: Side, ranges: list[str], fine: bool) -> None:
    assert (side_problem(direction, side, ranges) is None) == fine


@given(st.lists(st.builds(Rule, st.sampled_from(["in", "out"]), st.just("tcp"), st.integers(1, 99).map(str))))
def test_rules_are_told_by_direction_each_in_its_own_order(rules: list[Rule]) -> None:
    told = grouped(rules)

    assert told == [one for one in rules if one.direction == "in"] + [one for one in rules if one.direction == "out"]


def test_what_is_named_twice_is_found() -> None:
    once, twice = Target(server_id=1), Target(selector="a=b")

    assert named_twice([twice, once, twice, twice]) == [twice]
    assert list(map(str, [once, twice])) == ["server 1", "label selector 'a=b'"]


IDS = st.integers(1, 6)
SELECTORS = st.sampled_from(["a", "a=1", "!a", "a!=1", "b in (1,2),a"]).map(terms_of)


@given(
    st.lists(IDS, unique=True),
    st.lists(st.tuples(IDS, SELECTORS)),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from("12")),
)
def test_a_server_has_its_own_firewalls_and_those_that_select_it(
    direct: list[int], selectors: list[tuple[int, Selector]], labels: dict[str, str]
) -> None:
    found = in_effect(direct, selectors, labels)

    assert len(found) == len(set(found))
    assert found[: len(direct)] == direct
    assert set(found) == {*direct, *(id for id, one in selectors if matches(one, labels))}
