"""A look at all ports of a host: what is really there, and what of a plan is not.

Everything is asked for in a few dumps, however many servers there are; each takes milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute

from infra.domain import firewall_rules
from infra.domain.port_names import (
    bridge_name,
    member_of,
    overlay_name,
    private_tap_name,
    tap_name,
    vni_of,
)
from infra.domain.port_plan import PortPlan, PrivatePort
from infra.domain.seed import GATEWAY4, GATEWAY6
from infra.drivers import nft
from infra.drivers.links import IS_UP, NEIGHBOUR_PERMANENT, NEIGHBOUR_STATIC, owner_on
from infra.drivers.public_ports import FAMILIES, MTU, ROUTE_PROTOCOL, Route, route_of, routes_of


@dataclass(frozen=True, slots=True)
class Seen:
    """A link. ``held``: of a tap, whether somebody has it open."""

    index: int
    up: bool
    master: int | None
    mtu: int
    alias: str | None
    held: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """``links``: by name. The rest by the index of a link: ``addresses`` on it, ``neighbours`` (address, MAC) that
    are permanent, ``entries`` of forwarding (MACs that are static), ``routes``."""

    links: Mapping[str, Seen]
    addresses: Mapping[int, set[str]]
    neighbours: Mapping[int, set[tuple[str, str]]]
    entries: Mapping[int, set[str]]
    routes: Mapping[int, set[Route]]
    chains: set[tuple[str, str]]

    @property
    def bridges(self) -> dict[int, str]:
        """By VNI, what is written on it."""
        return {
            vni: link.alias or "" for name, link in self.links.items() if (vni := vni_of(name)) and _is_bridge(name)
        }

    @property
    def networks(self) -> set[int]:
        """Those of which anything is here."""
        names = [*self.links, *(name for family, name in self.chains if family == "inet")]
        return {vni for name in names if (vni := vni_of(name)) is not None}

    @property
    def members_by_server(self) -> dict[int, dict[int, int]]:
        """Private taps, and the network that each is in; 0: in none."""
        found: dict[int, dict[int, int]] = defaultdict(dict)
        for member, (link, vni) in self._private_taps().items():
            if (server_id := owner_on(link.alias)) is not None:
                found[server_id][member] = vni
        return dict(found)

    def _private_taps(self) -> dict[int, tuple[Seen, int]]:
        vnis = {link.index: vni_of(name) or 0 for name, link in self.links.items() if vni_of(name)}
        return {
            member: (link, vnis.get(link.master or 0, 0))
            for name, link in self.links.items()
            if (member := member_of(name)) is not None
        }

    def ownerless(self) -> dict[int, int]:
        return {member: vni for member, (link, vni) in self._private_taps().items() if owner_on(link.alias) is None}


def look() -> Look:
    """NftError, NetlinkError."""
    addresses, neighbours, entries = defaultdict(set), defaultdict(set), defaultdict(set)
    routes: dict[int, set[Route]] = defaultdict(set)
    with IPRoute() as netlink:
        links = {link.get("ifname"): _seen(link) for link in netlink.get_links()}
        for one in netlink.get_addr():
            addresses[one["index"]].add(one.get("address"))
        for family in FAMILIES:
            for one in netlink.get_neighbours(family=family, state=NEIGHBOUR_PERMANENT):
                neighbours[one["ifindex"]].add((one.get("dst"), one.get("lladdr")))
            for one in netlink.get_routes(family=family, proto=ROUTE_PROTOCOL):
                routes[one.get("oif") or 0].add(route_of(one))
        for one in netlink.fdb("dump"):
            if one["state"] == NEIGHBOUR_STATIC:
                entries[one["ifindex"]].add(one.get("lladdr"))
    chains = nft.chains(firewall_rules.TABLE)
    return Look(links, addresses, neighbours, entries, routes, chains)


def strays_in(seen: Look) -> dict[int, int]:
    """Private taps that no server owns, and those of which only rules are left; with their networks, 0: none."""
    ruled = {member_of(tap) for tap in firewall_rules.taps_in(name for _, name in seen.chains) if tap not in seen.links}
    return {**{member: 0 for member in ruled if member is not None}, **seen.ownerless()}


def problems_of(plan: PortPlan, seen: Look, tunnels: bool, private_mtu: int) -> str:
    """What of the plan is not there, in words; "": all of it is."""
    return ", ".join(_missing(plan, seen, tunnels, private_mtu))


def is_held(plan: PortPlan, seen: Look) -> bool:
    """Whether all of the plan's taps are there, and somebody has each of them open."""
    taps = [tap_name(plan.server_id), *(private_tap_name(port.member_id) for port in plan.private)]
    return all((link := seen.links.get(tap)) and link.held for tap in taps)


def _missing(plan: PortPlan, seen: Look, tunnels: bool, private_mtu: int) -> Iterator[str]:
    if not firewall_rules.guarded(plan, seen.chains):
        yield "firewall rules"
    tap = seen.links.get(tap_name(plan.server_id))
    if tap is None or not tap.up:
        yield "its public port"
        return
    if tap.mtu != MTU:
        yield "its public port's MTU"
    port, index = plan.public, tap.index
    if not {GATEWAY4, GATEWAY6} <= seen.addresses.get(index, set()):
        yield "its gateway"
    if not {(address, port.mac) for address in port.addresses} <= seen.neighbours.get(index, set()):
        yield "neighbours"
    if seen.routes.get(index, set()) != {route for family in FAMILIES for route in routes_of(port, family)}:
        yield "routes"
    for private in plan.private:
        yield from _missing_of(private, seen, tunnels, private_mtu)


def _missing_of(port: PrivatePort, seen: Look, tunnels: bool, mtu: int) -> Iterator[str]:
    tap, bridge = seen.links.get(private_tap_name(port.member_id)), seen.links.get(bridge_name(port.vni))
    overlay = seen.links.get(overlay_name(port.vni))
    if tap is None or bridge is None or not (tap.up and bridge.up) or tap.master != bridge.index:
        yield f"its port in network {port.network_id}"
        return
    if tunnels and (overlay is None or not overlay.up or overlay.master != bridge.index):
        yield f"the tunnels of network {port.network_id}"
    if any(link.mtu != mtu for link in (tap, bridge, overlay) if link is not None):
        yield f"the MTU of network {port.network_id}"
    neighbours = {ip for ip, mac in seen.neighbours.get(bridge.index, set()) if mac == port.mac}
    if port.mac not in seen.entries.get(tap.index, set()) or neighbours != {port.ip, *port.aliases}:
        yield f"entries of network {port.network_id}"


def _seen(link: Any) -> Seen:
    up = bool(link["flags"] & IS_UP)
    return Seen(link["index"], up, link.get("master"), link.get("mtu"), link.get("ifalias"), bool(link.get("carrier")))


def _is_bridge(name: str) -> bool:
    return name == bridge_name(vni_of(name) or 0)
