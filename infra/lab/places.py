"""The region of the lab on paper: which machines there are, where each stands, and how they are cabled and numbered.

Three zones with two hosts each, every host on two routers; an edge; a control machine; and the world outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.frr.values import HOST_ASNS, Fabric, HostRouting, RouterRouting, Upstream, UpstreamRouting

Kind = Literal["host", "edge", "router", "control", "outside"]

LOCATION = "lab"
POOLS = ("203.0.113.0/24", "2001:db8:100::/40")
SERVICES = "192.0.2.0/24"
"""What the region itself offers to the world, announced by edges as single addresses."""
NAME_SERVER = "192.0.2.53"
FABRIC = Fabric((*POOLS, SERVICES))
FABRIC_MTU = 9000
PRIVATE_MTU = FABRIC_MTU - 50
"""What VXLAN over IPv4 leaves: an outer Ethernet header less, 50 bytes of headers."""

WORLD = "198.51.100"
WORLD6 = "2001:db8:ffff:"
WORLD_ASN = 64500
OUTSIDE = "out"
CONTROL = "ctl"
UPLINKS = ("up1", "up2")


@dataclass(frozen=True, slots=True)
class Place:
    """``number``: of hosts and edges, in their addresses and AS numbers. ``management``: on the lab's switch."""

    name: str
    kind: Kind
    number: int
    zone: str = ""
    management: str = ""

    @property
    def rack(self) -> str:
        return f"{self.zone}-rack{2 - self.number % 2}"

    @property
    def switch(self) -> str:
        return f"{self.zone}-switch{2 - self.number % 2}"

    @property
    def router_id(self) -> str:
        return f"10.255.{1 if self.kind == 'router' else 0}.{self.number}"


HOSTS = tuple(Place(f"h{n}", "host", n, f"z{(n + 1) // 2}", f"10.231.7.{10 + n}") for n in range(1, 7))
EDGES = (Place("e1", "edge", 21, "z1", "10.231.7.31"),)
ROUTERS = tuple(Place(f"r{n}", "router", n) for n in (1, 2))
ELSEWHERE = (Place(CONTROL, "control", 0, "", "10.231.7.10"), Place(OUTSIDE, "outside", 10))
CORE = (*ROUTERS, ELSEWHERE[1])
"""What only routes."""
LEAVES = (*HOSTS, *EDGES)
"""Who has a cable to each router."""
PLACES = {place.name: place for place in (*ROUTERS, *ELSEWHERE, *LEAVES)}


def host_routing(place: Place) -> HostRouting:
    return HostRouting(place.name, HOST_ASNS + place.number, place.router_id, UPLINKS)


def router_routing(place: Place) -> RouterRouting:
    upstream = Upstream(WORLD_ASN, f"{WORLD}.10", f"{WORLD6}:10")
    return RouterRouting(place.name, place.router_id, tuple(leaf.name for leaf in LEAVES), upstream)


def outside_routing() -> UpstreamRouting:
    routers = tuple(f"{prefix}{router.number}" for prefix in (f"{WORLD}.", f"{WORLD6}:") for router in ROUTERS)
    return UpstreamRouting(OUTSIDE, WORLD_ASN, f"{WORLD}.10", routers)
