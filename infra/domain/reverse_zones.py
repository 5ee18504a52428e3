"""Reverse zones: which zone the name of an address stands in, made from the pools that addresses come out of.

IPv4: the /24 of the address, whatever its pool. A pool of several octets is served by as many zones as have addresses
in use, so that none is long; of a part of an octet the whole /24 is served, and its parent delegates name by name, or
points into it (RFC 2317). IPv6: the pool's network, or the next nibble in it: none holds addresses of another pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

OCTETS, NIBBLES = "in-addr.arpa", "ip6.arpa"
V4_ZONE = 24


def ptr_name(ip: str) -> str:
    """Where the PTR record of an address stands, absolute, without its last dot. ValueError: it is none."""
    return ip_address(ip).reverse_pointer


def reverse_zone(ip: str, pools: Iterable[str]) -> str | None:
    """The zone that ``ip`` has its name in; None: it is out of no pool. ``pools``: networks, as text."""
    pool = _pool_of(ip_network(ip), pools)
    if pool is None:
        return None
    return _name_of(ip_network(f"{ip}/{_prefix(pool)}", strict=False))


def network_of(zone: str, pools: Iterable[str]) -> Network | None:
    """The addresses whose names stand in ``zone``; None: it is no reverse zone of a pool."""
    network = _read(zone)
    pools = list(pools)
    if network is None:
        return None
    if network.version == 4:
        ours = any(ip_network(pool).version == 4 and _overlap(network, ip_network(pool)) for pool in pools)
        return network if ours and network.prefixlen == V4_ZONE else None
    pool = _pool_of(network, pools)
    return network if pool is not None and network.prefixlen == _prefix(pool) else None


def is_taken(zone: str, pools: Iterable[str]) -> bool:
    """Whether a zone of that name is a reverse zone of a pool, lies in one, or has one in it."""
    if zone != OCTETS and zone != NIBBLES and not zone.endswith((f".{OCTETS}", f".{NIBBLES}")):
        return False
    network = _read(zone)
    return network is None or any(_overlap(network, _grown(ip_network(pool))) for pool in pools)


def _pool_of(network: Network, pools: Iterable[str]) -> Network | None:
    return next((pool for pool in map(ip_network, pools) if _within(network, pool)), None)


def _within(network: Network, other: Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _prefix(pool: Network) -> int:
    """Of the zones of a pool, in bits."""
    return V4_ZONE if pool.version == 4 else -(-pool.prefixlen // 4) * 4


def _grown(pool: Network) -> Network:
    """All that the pool's zones hold."""
    return pool.supernet(new_prefix=V4_ZONE) if pool.version == 4 and pool.prefixlen > V4_ZONE else pool


def _name_of(network: Network) -> str:
    """``network``: on the boundary of an octet, or of a nibble."""
    parts = ip_address(network.network_address).reverse_pointer.split(".")
    hidden = (network.max_prefixlen - network.prefixlen) // (8 if network.version == 4 else 4)
    return ".".join(parts[hidden:])


def _read(zone: str) -> Network | None:
    """The network that a name under in-addr.arpa or ip6.arpa stands for; None: it stands for none."""
    for suffix, bits, digits in ((OCTETS, 8, 10), (NIBBLES, 4, 16)):
        if zone == suffix or zone.endswith(f".{suffix}"):
            labels = zone.removesuffix(suffix).rstrip(".").split(".") if zone != suffix else []
            try:
                numbers = [int(label, digits) for label in reversed(labels)]
            except ValueError:
                return None
            return _network(numbers, bits)
    return None


def _network(numbers: list[int], bits: int) -> Network | None:
    width = 32 if bits == 8 else 128
    prefix = len(numbers) * bits
    if prefix > width or any(not 0 <= number < 1 << bits for number in numbers):
        return None
    value = 0
    for number in numbers:
        value = value << bits | number
    value <<= width - prefix
    return IPv4Network((value, prefix)) if width == 32 else IPv6Network((value, prefix))
