"""The lab's cables: one from each host and edge to each router, and a link to the world outside.

A cable that is cut drops packets silently, as a switch does that went mad: its ends still see a carrier, so only who
listens for its neighbour finds out. The cut lies at the router's end, where nothing of the machine can undo it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from infra.lab import programs
from infra.lab.errors import LabError
from infra.lab.network import Network
from infra.lab.places import FABRIC, FABRIC_MTU, OUTSIDE, ROUTERS, WORLD, WORLD6, Place

WORLD_MTU = 1500
CUTS = """
add table inet cables
flush table inet cables
table inet cables {
  set cut { type ifname; }
  chain in { type filter hook prerouting priority -500; iifname @cut drop; }
  chain out { type filter hook postrouting priority 500; oifname @cut drop; }
}
"""
GATE = """
add table inet gate
flush table inet gate
table inet gate {{
  chain in {{
    type filter hook prerouting priority -500;
    iifname world ip daddr {{ {vteps} }} drop;
    iifname world ip saddr {{ {vteps} }} drop;
  }}
}}
"""
"""Of a router, to the world: a packet to a host's tunnel is a frame in somebody's private network."""
DARK = """
table inet dark {
  chain in { type filter hook prerouting priority -500; policy drop; }
  chain out { type filter hook postrouting priority 500; policy drop; }
}
"""
"""Of a router without power: nothing comes, nothing goes."""
ROUTING = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.fib_multipath_hash_policy": 1,
    "net.ipv6.fib_multipath_hash_policy": 1,
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
}
"""A router's; paths are chosen by flow, and no address is used by two here."""


@dataclass(frozen=True, slots=True)
class Cables:
    network: Network

    def ensure_core(self) -> None:
        """The routers, the world outside, and the links among them."""
        for name in (*(router.name for router in ROUTERS), OUTSIDE):
            self.network.ensure_namespace(name)
            self._route(name)
        self._ensure_world()
        first, second = (router.name for router in ROUTERS)
        self._ensure_cable(first, "peer", second, "peer", FABRIC_MTU)
        for router in ROUTERS:
            self._configure(router.name, [f"address replace {router.router_id}/32 dev lo"])
            self._in(router.name, "nft", "-f", "-", text=CUTS + GATE.format(vteps=", ".join(FABRIC.vteps)))

    def ensure_leaf(self, place: Place) -> None:
        """A host's or an edge's cables; its namespace is there."""
        self._route(place.name)
        for router in ROUTERS:
            self._ensure_cable(place.name, f"up{router.number}", router.name, place.name, FABRIC_MTU)
        self._configure(place.name, [f"address replace {place.router_id}/32 dev lo"])

    def pull(self, machine: str) -> None:
        """Out of the routers: the kernel takes its time to miss the other end."""
        for router in ROUTERS:
            if machine in self._links(router.name):
                self._configure(router.name, [f"link delete {machine}"])

    def cut(self, machine: str) -> None:
        for router in ROUTERS:
            self._in(router.name, "nft", "add", "element", "inet", "cables", "cut", f"{{ {machine} }}")

    def mend(self, machine: str) -> None:
        for router in ROUTERS:
            with suppress(LabError):  # whole already
                self._in(router.name, "nft", "delete", "element", "inet", "cables", "cut", f"{{ {machine} }}")

    def darken(self, router: str) -> None:
        """Silent at all its cables: nobody hears its sockets close."""
        self._in(router, "nft", "-f", "-", text=DARK)

    def forget(self, router: str) -> None:
        """All that its routing told its kernel: FRR makes routes by nexthops, with which they go."""
        self._in(router, "ip", "nexthop", "flush")

    def lighten(self, router: str) -> None:
        with suppress(LabError):  # it never was dark
            self._in(router, "nft", "delete", "table", "inet", "dark")

    def whole(self, machine: str) -> bool:
        try:
            told = [self._in(one.name, "nft", "-j", "list", "set", "inet", "cables", "cut") for one in ROUTERS]
        except LabError:
            return False
        return not any(machine in _elements(one) for one in told)

    def _ensure_world(self) -> None:
        if "world" not in self._links(OUTSIDE):
            self._configure(OUTSIDE, ["link add world type bridge stp_state 0 mcast_snooping 0"])
        lines = [
            f"link set world mtu {WORLD_MTU} up",
            f"address replace {WORLD}.10/24 dev world",
            f"address replace {WORLD6}:10/64 dev world nodad",
        ]
        self._configure(OUTSIDE, lines)
        for router in ROUTERS:
            self._ensure_cable(router.name, "world", OUTSIDE, router.name, WORLD_MTU)
            self._configure(OUTSIDE, [f"link set {router.name} master world"])
            addresses = [f"{WORLD}.{router.number}/24", f"{WORLD6}:{router.number}/64"]
            self._configure(router.name, [f"address replace {one} dev world" for one in addresses])

    def _ensure_cable(self, one: str, end: str, other: str, other_end: str, mtu: int) -> None:
        if end not in self._links(one):
            namespace = self.network.namespace(other).name
            cable = f"link add {end} mtu {mtu} type veth peer name {other_end} mtu {mtu} netns {namespace}"
            self._configure(one, [cable])
        self._configure(one, [f"link set {end} up"])
        self._configure(other, [f"link set {other_end} up"])

    def _route(self, machine: str) -> None:
        self._configure(machine, ["link set lo up"])
        self._in(machine, "sysctl", "--quiet", *(f"{name}={value}" for name, value in ROUTING.items()))

    def _links(self, machine: str) -> set[str]:
        told = programs.run("ip", "-n", self.network.namespace(machine).name, "-json", "link")
        return {link["ifname"] for link in json.loads(told)}

    def _configure(self, machine: str, lines: Iterable[str]) -> None:
        name = self.network.namespace(machine).name
        programs.run("ip", "-n", name, "-batch", "-", text="".join(f"{line}\n" for line in lines))

    def _in(self, machine: str, *argv: str, text: str = "") -> str:
        return programs.run("nsenter", f"--net={self.network.namespace(machine)}", "--", *argv, text=text)


def _elements(told: str) -> list[str]:
    return [name for part in json.loads(told)["nftables"] if "set" in part for name in part["set"].get("elem", [])]
