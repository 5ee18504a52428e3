"""Addressing: whatever the pool, its indexes give distinct canonical addresses inside it, and never a reserved one."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.addressing import last_index, nth_address
from infra.domain.models import Addresses

v4_pools = st.builds(
    lambda address, prefix: str(ip_network((address, prefix), strict=False)),
    st.integers(0, (1 << 32) - 1),
    st.integers(8, 32),
)
v6_pools = st.builds(
    lambda address, prefix: str(ip_network((address, prefix), strict=False)),
    st.integers(0x2000 << 112, (0x4000 << 112) - 1),
    st.integers(16, 64),
)


@pytest.mark.parametrize(
    ("cidr", "index", "address"),
    [
        ("192.0.2.0/24", 1, "192.0.2.1"),
        ("192.0.2.0/24", 254, "192.0.2.254"),
        ("10.0.0.0/8", 256, "10.0.1.0"),
        ("192.0.2.8/30", 2, "192.0.2.10"),
        ("192.0.2.8/31", 1, "192.0.2.8"),
        ("192.0.2.9/32", 1, "192.0.2.9"),
        ("2001:db8:100::/48", 1, "2001:db8:100:1::/64"),
        ("2001:db8:100::/48", 65_535, "2001:db8:100:ffff::/64"),
        ("2001:db8::/32", 65_536, "2001:db8:1::/64"),
        ("2001:db8:0:5::/64", 1, "2001:db8:0:5::/64"),
    ],
)
def test_the_nth_address(cidr: str, index: int, address: str) -> None:
    assert nth_address(cidr, index) == address


@given(v4_pools, st.data())
def test_v4_addresses_are_distinct_canonical_and_usable(cidr: str, data: st.DataObject) -> None:
    pool, last = IPv4Network(cidr), last_index(cidr, "ipv4")
    first, second = data.draw(st.integers(1, last)), data.draw(st.integers(1, last))
    address = IPv4Network(nth_address(cidr, first)).network_address
    assert nth_address(cidr, first) == str(address)
    assert address in pool
    assert (nth_address(cidr, first) == nth_address(cidr, second)) == (first == second)
    if pool.prefixlen <= 30:
        assert address not in (pool.network_address, pool.broadcast_address)


@given(v6_pools, st.data())
def test_v6_networks_are_distinct_canonical_and_not_the_pools_first(cidr: str, data: st.DataObject) -> None:
    pool, last = IPv6Network(cidr), last_index(cidr, "ipv6")
    first, second = data.draw(st.integers(1, last)), data.draw(st.integers(1, last))
    network = IPv6Network(nth_address(cidr, first))
    assert nth_address(cidr, first) == str(network)
    assert network.prefixlen == 64
    assert network.subnet_of(pool)
    assert (nth_address(cidr, first) == nth_address(cidr, second)) == (first == second)
    if pool.prefixlen < 64:
        assert network.network_address != pool.network_address


@given(v6_pools, st.data())
def test_the_servers_own_address_is_the_first_of_its_network(cidr: str, data: st.DataObject) -> None:
    network = nth_address(cidr, data.draw(st.integers(1, last_index(cidr, "ipv6"))))
    assert Addresses(None, network).ipv6 == str(IPv6Network(network)[1])


@given(v4_pools | v6_pools)
def test_the_last_index_is_the_last(cidr: str) -> None:
    last = last_index(cidr, "ipv6" if ":" in cidr else "ipv4")
    nth_address(cidr, last)
    for index in (-1, 0, last + 1):
        with pytest.raises(ValueError, match="has no address"):
            nth_address(cidr, index)


@pytest.mark.parametrize(
    ("cidr", "type_", "last"),
    [
        ("192.0.2.0/24", "ipv4", 254),
        ("192.0.2.0/30", "ipv4", 2),
        ("192.0.2.0/31", "ipv4", 2),
        ("192.0.2.0/32", "ipv4", 1),
        ("2001:db8:100::/48", "ipv6", 65_535),
        ("2001:db8::/63", "ipv6", 1),
        ("2001:db8::/64", "ipv6", 1),
    ],
)
def test_a_pool_hands_out_all_but_what_it_keeps_back(cidr: str, type_: str, last: int) -> None:
    assert last_index(cidr, type_) == last  # type: ignore[arg-type]


@pytest.mark.parametrize(("cidr", "type_"), [("192.0.2.0/24", "ipv6"), ("2001:db8::/48", "ipv4")])
def test_a_pool_of_another_type_is_refused(cidr: str, type_: str) -> None:
    with pytest.raises(ValueError, match="is not an"):
        last_index(cidr, type_)  # type: ignore[arg-type]


@pytest.mark.parametrize("cidr", ["2001:db8::/65", "192.0.2.1/24", "somewhere"])
def test_what_is_no_pool_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match=r"too small|host bits|not appear"):
        nth_address(cidr, 1)
