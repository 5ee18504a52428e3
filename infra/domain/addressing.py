"""Addressing: which address stands at which index of a pool, so that a counter in the books hands each out once.

A v4 pool holds single addresses, without its network and broadcast address; a v6 pool holds /64s, without its first.
Index 1 is the first to be handed out. A pool too small to have an address of its own to keep back (a v4 /31 after
RFC 3021, a /32, a v6 /64) hands out all it has.
An address that changes hands is announced with a lower metric each time, so that whoever has it newest is believed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal

SERVER_PREFIX = 64
"""What a server gets of a v6 pool."""
WIDEST = 8
"""Of a v6 pool: as many /64s as are counted."""
OLDEST_METRIC = 16_000_000
"""Below 2**24: what a kernel route's metric has above that is a distance to FRR, and BGP's own is less than that."""


def nth_address(cidr: str, index: int) -> str:
    """The canonical text of an address: "192.0.2.1", or "2001:db8:100:1::/64". ValueError: not in the pool."""
    pool = _pool(cidr)
    if not 1 <= index <= _count(pool):
        raise ValueError(f"pool {cidr} has no address {index}, only 1 to {_count(pool)}")
    offset = index if _keeps_first(pool) else index - 1
    first = int(pool.network_address)
    if isinstance(pool, IPv4Network):
        return str(IPv4Address(first + offset))
    return f"{IPv6Address(first + (offset << SERVER_PREFIX))}/{SERVER_PREFIX}"


def last_index(cidr: str, type: Literal["ipv4", "ipv6"]) -> int:
    """The index of a pool's last address. ValueError: the pool is not of that type, too small or too large."""
    pool = _pool(cidr)
    if f"ipv{pool.version}" != type:
        raise ValueError(f"{cidr} is not an {type} pool")
    return _count(pool)


def route_metric(generation: int) -> int:
    """Of the route to an address that has changed hands so often."""
    return max(1, OLDEST_METRIC - generation)


def _pool(cidr: str) -> IPv4Network | IPv6Network:
    pool = ip_network(cidr)
    if isinstance(pool, IPv6Network) and pool.prefixlen > SERVER_PREFIX:
        raise ValueError(f"{cidr} is too small: a server gets a /{SERVER_PREFIX}")
    if isinstance(pool, IPv6Network) and pool.prefixlen < WIDEST:
        raise ValueError(f"{cidr} is too large: it may be a /{WIDEST}")
    return pool


def _keeps_first(pool: IPv4Network | IPv6Network) -> bool:
    return pool.prefixlen <= 30 if isinstance(pool, IPv4Network) else pool.prefixlen < SERVER_PREFIX


def _count(pool: IPv4Network | IPv6Network) -> int:
    """How many it hands out: a v4 pool keeps back two, a v6 pool one."""
    if isinstance(pool, IPv4Network):
        return pool.num_addresses - 2 * _keeps_first(pool)
    return (1 << (SERVER_PREFIX - pool.prefixlen)) - _keeps_first(pool)
