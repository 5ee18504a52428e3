"""Private networks: which ranges, subnets, routes and addresses a network may have, and which address is next.

A network is a private range (RFC 1918) of at least 256 addresses; subnets are parts of it that do not overlap. The
first address of the network is its gateway, in each of its subnets; 172.31.1.1 is the gateway of public addresses on
every host and is nobody else's. Addresses are handed out lowest first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
SMALLEST, SMALLEST_SUBNET, AUTOMATIC = 24, 30, 24
"""Longest prefixes: of a network, of a subnet, and of a subnet whose range nobody named."""
MOST_NETWORKS = 8
"""That a server is in: as many as a machine has ports for their NICs."""
MOST_SUBNETS, MOST_ROUTES = 50, 100
"""Of a network, as on the wire: its routes are written into each of its guests."""
HOST_GATEWAY = IPv4Address("172.31.1.1")
DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")

SubnetType = Literal["cloud", "server", "vswitch"]


@dataclass(frozen=True, slots=True)
class Subnet:
    """``ip_range``: inside its network's."""

    ip_range: IPv4Network
    network_zone: str
    type: SubnetType = "cloud"


@dataclass(frozen=True, slots=True)
class Route:
    destination: IPv4Network
    gateway: IPv4Address


def range_problem(ip_range: IPv4Network) -> str | None:
    """What keeps it from being a network's range."""
    if not any(ip_range.subnet_of(private) for private in PRIVATE):
        return "must be part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
    if ip_range.prefixlen > SMALLEST:
        return f"must be a /{SMALLEST} or larger"
    return None


def gateway_of(network: IPv4Network) -> IPv4Address:
    return network.network_address + 1


def subnet_problem(network: IPv4Network, subnets: Iterable[Subnet], ip_range: IPv4Network) -> str | None:
    """What keeps it from being a further subnet of the network."""
    if ip_range.prefixlen > SMALLEST_SUBNET:
        return f"must be a /{SMALLEST_SUBNET} or larger"
    if not ip_range.subnet_of(network):
        return f"must be inside the network's range {network}"
    if clash := next((one for one in subnets if one.ip_range.overlaps(ip_range)), None):
        return f"overlaps subnet {clash.ip_range}"
    return None


def next_subnet(network: IPv4Network, subnets: Collection[Subnet], prefix: int = AUTOMATIC) -> IPv4Network | None:
    """The first of that size that is free; None: there is none."""
    return next(
        (
            candidate
            for candidate in network.subnets(new_prefix=prefix)
            if not any(one.ip_range.overlaps(candidate) for one in subnets)
        ),
        None,
    )


def route_problem(
    network: IPv4Network, subnets: Iterable[Subnet], routes: Iterable[Route], route: Route
) -> tuple[str, str] | None:
    """What keeps it from being a further route: (field, problem)."""
    destination, gateway = route.destination, route.gateway
    if destination != DEFAULT_ROUTE and not any(destination.subnet_of(private) for private in PRIVATE):
        return "destination", "must be 0.0.0.0/0 or part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
    if destination != DEFAULT_ROUTE and HOST_GATEWAY in destination and destination.prefixlen == 32:
        return "destination", f"must not be {HOST_GATEWAY}"
    if destination != DEFAULT_ROUTE and any(one.ip_range.overlaps(destination) for one in subnets):
        return "destination", "overlaps a subnet of the network"
    for other in routes:
        both = DEFAULT_ROUTE not in (destination, other.destination)
        if destination == other.destination or (both and destination.overlaps(other.destination)):
            return "destination", f"overlaps the route to {other.destination}"
    if gateway not in network:
        return "gateway", f"must be inside the network's range {network}"
    if gateway in (gateway_of(network), network.network_address, HOST_GATEWAY):
        return "gateway", "must not be an address that is reserved"
    return None


def widening_problem(network: IPv4Network, wider: IPv4Network) -> str | None:
    """What keeps the network's range from becoming that one."""
    if problem := range_problem(wider):
        return problem
    if wider.network_address != network.network_address:
        return f"must begin at {network.network_address}"
    if wider.prefixlen > network.prefixlen:
        return f"must not be smaller than {network}"
    return None


def reserved(network: IPv4Network, subnet: IPv4Network) -> tuple[IPv4Address, ...]:
    """What no server may have of a subnet, in it or not."""
    return gateway_of(network), HOST_GATEWAY, subnet.network_address, subnet.broadcast_address


def is_usable(network: IPv4Network, subnet: IPv4Network, ip: IPv4Address) -> bool:
    """Whether a server may have that address of a subnet."""
    return ip in subnet and ip not in reserved(network, subnet)


def subnet_of_address(subnets: Sequence[Subnet], ip: IPv4Address) -> Subnet | None:
    return next((one for one in subnets if ip in one.ip_range), None)


def mac_of(member_id: int) -> str:
    """Locally administered, of the member's id; ``06`` tells it from a public port's."""
    return "06:" + ":".join(f"{byte:02x}" for byte in member_id.to_bytes(5, "big"))
