"""What FRR's configuration is made of: a fabric of routers, and the machines on it, each with its place in BGP."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network

from infra.domain.errors import InvalidInput

HOST_ASNS = 4_200_000_000
"""Private AS numbers of four bytes begin here (RFC 6996); a host's is this and its number."""
ROUTER_ASN = 64512
LARGEST_ASN = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Bfd:
    """How soon a silent neighbour is given up: after ``multiplier`` intervals (milliseconds). Much less than 300 ms
    takes a busy machine for a dead one."""

    interval: int = 300
    multiplier: int = 3


@dataclass(frozen=True, slots=True)
class Fabric:
    """``pools``: networks of public addresses. ``vteps``: where the hosts' own addresses (router ids) are from."""

    pools: tuple[str, ...]
    vteps: tuple[str, ...] = ("10.255.0.0/24",)
    bfd: Bfd = Bfd()

    def of_version(self, version: int) -> list[str]:
        return [pool for pool in self.pools if ip_network(pool).version == version]


@dataclass(frozen=True, slots=True)
class HostRouting:
    """A host, or an edge: it announces single addresses and carries private networks. ``router_id`` is its VTEP too."""

    name: str
    asn: int
    router_id: str
    uplinks: tuple[str, ...] = ("up1", "up2")

    def check(self) -> None:
        """InvalidInput: the fabric could not tell it from others."""
        if not 0 < self.asn <= LARGEST_ASN:
            raise InvalidInput.field("asn", f"must be from 1 to {LARGEST_ASN}")
        try:
            IPv4Address(self.router_id)
        except ValueError:
            raise InvalidInput.field("router-id", f"{self.router_id} is no IPv4 address") from None
        if not self.uplinks:
            raise InvalidInput.field("uplink", "a host without an uplink reaches nobody")


@dataclass(frozen=True, slots=True)
class Upstream:
    """Who carries the region's packets to the world: its AS, and its addresses on the link that it shares with us."""

    asn: int
    ipv4: str
    ipv6: str


@dataclass(frozen=True, slots=True)
class RouterRouting:
    """``downlinks``: interfaces to hosts and edges. ``peer``: the one to the other router, if there is one."""

    name: str
    router_id: str
    downlinks: tuple[str, ...]
    upstream: Upstream
    peer: str | None = "peer"
    asn: int = ROUTER_ASN


@dataclass(frozen=True, slots=True)
class UpstreamRouting:
    """The other end, as a lab has it: ``routers`` are the addresses of the region's routers."""

    name: str
    asn: int
    router_id: str
    routers: tuple[str, ...]
