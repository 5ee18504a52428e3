"""Public ports: routed taps, each with the same gateway under the same MAC on every host, and the routes to them.

A server's addresses are host routes with a protocol number of our own: whatever distributes routes can tell them. Their
metric falls with the address's generation: where two announce an address, whoever has it newest wins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import ip_network
from itertools import product
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2 import IPRoute

from infra.domain.addressing import route_metric
from infra.domain.port_names import tap_name
from infra.domain.port_plan import PortPlan, PublicPort
from infra.domain.seed import GATEWAY4, GATEWAY6
from infra.drivers.links import (
    NEIGHBOUR_PERMANENT,
    SYSCTLS,
    Owner,
    Tap,
    ensure_tap,
    forget_neighbours,
    gone_is_fine,
    link_named,
    owned_by,
    sysctl,
)

ROUTE_PROTOCOL = 210  # rtm_protocol: "this route belongs to the host worker"; from the range that nobody has registered
POOL_METRIC = 2**31  # far behind whatever else knows a way to a pool
TAP_MAC = "fe:00:00:00:00:01"
MTU = 1500  # bytes, on the way between a guest and its gateway

SCOPE_LINK, SCOPE_ANY = 253, 255
ONLINK = 4  # RTNH_F_ONLINK: the gateway is there, whatever other routes say
ADDRESS_WITHOUT_DAD = 0x02
FAMILIES = (AF_INET, AF_INET6)
NEIGHBOURS = {"gc_thresh2": 32_768, "gc_thresh3": 65_536}
"""How many the host may know, but for permanent ones: guests have link-local addresses of their own choice, so many at
a time as `port_guard` lets them."""

Route = tuple[str, int, str | None]
"""Destination, metric, gateway."""


def routes_of(port: PublicPort, family: int) -> list[Route]:
    """What leads to it. A /64 leads to its first address, whose neighbour is known: each packet to another one would be
    a neighbour to look for, and who asks for all of them fills the table of all guests."""
    if family == AF_INET:
        return [(f"{port.ipv4}/32", route_metric(port.ipv4_generation), None)] if port.ipv4 else []
    if not port.ipv6_network:
        return []
    first = str(ip_network(port.ipv6_network)[1])
    return [(port.ipv6_network, route_metric(port.ipv6_generation), first)]


def prepare_host(netlink: IPRoute, uplinks: Sequence[str], pools: Sequence[str]) -> None:
    """A router for its guests; packets to those who are not here end."""
    for uplink in uplinks:
        sysctl(f"ipv4/conf/{uplink}/forwarding", 1)
    _forward_ipv6()
    _make_room_for_neighbours()
    for pool in pools:
        _pool_route(netlink, "replace", pool)
    release_host(netlink, sorted(_pools_there(netlink) - {str(ip_network(pool)) for pool in pools}))


def release_host(netlink: IPRoute, pools: Sequence[str]) -> None:
    for pool in pools:
        with gone_is_fine():
            _pool_route(netlink, "del", pool)


def make_tap(netlink: IPRoute, server_id: int, owner: Owner) -> Tap:
    return ensure_tap(netlink, tap_name(server_id), owner, owned_by(server_id), address=TAP_MAC, mtu=MTU)


def connect(netlink: IPRoute, plan: PortPlan, tap: Tap, nothing_old: bool) -> None:
    """The gateway, then the guest's neighbours, then the routes that attract packets. Its rules are there.
    ``nothing_old``: there is nothing to be forgotten; to look takes as long as there are servers here."""
    port = plan.public
    _ensure_gateway(netlink, tap.index, tap_name(plan.server_id))
    for address in port.addresses:
        netlink.neigh("replace", dst=address, lladdr=port.mac, ifindex=tap.index, state=NEIGHBOUR_PERMANENT)
    for family in FAMILIES:
        wanted = routes_of(port, family)
        for destination, metric, gateway in wanted:
            way = {"gateway": gateway, "flags": ONLINK} if gateway else {"scope": SCOPE_LINK}
            route = {"dst": destination, "oif": tap.index, "proto": ROUTE_PROTOCOL, "priority": metric}
            netlink.route("replace", family=family, **route, **way)
        if not nothing_old:
            forget_neighbours(netlink, tap.index, family, port.mac, port.addresses)
            _forget_routes(netlink, tap.index, family, wanted)


def disconnect(netlink: IPRoute, server_id: int) -> None:
    """Its routes go with this, and nothing comes from it; its tap is left, down."""
    if (link := link_named(netlink, tap_name(server_id))) is not None:
        netlink.link("set", index=link["index"], state="down")


def _ensure_gateway(netlink: IPRoute, index: int, tap: str) -> None:
    sysctl(f"ipv6/conf/{tap}/addr_gen_mode", 1)  # no link-local address but the gateway's
    sysctl(f"ipv6/conf/{tap}/accept_ra", 0)
    sysctl(f"ipv6/conf/{tap}/accept_dad", 0)
    sysctl(f"ipv4/conf/{tap}/arp_ignore", 1)  # answer for this tap's address, not for every address of the host
    sysctl(f"ipv4/conf/{tap}/rp_filter", 1)
    sysctl(f"ipv4/conf/{tap}/forwarding", 1)
    netlink.link("set", index=index, state="up")
    netlink.addr("replace", index=index, address=GATEWAY4, prefixlen=32)
    netlink.addr("replace", index=index, address=GATEWAY6, prefixlen=64, flags=ADDRESS_WITHOUT_DAD)


def _forget_routes(netlink: IPRoute, index: int, family: int, keep: Collection[Route]) -> None:
    """After the new ones are there, so that the addresses are never without."""
    for route in netlink.get_routes(family=family, oif=index, proto=ROUTE_PROTOCOL):
        there, metric, gateway = route_of(route)
        if (there, metric, gateway) not in keep:
            with gone_is_fine():
                # Any scope: IPv4 device routes have link scope, and a scope that differs is "no such route".
                old = {"dst": there, "oif": index, "proto": ROUTE_PROTOCOL, "priority": metric, "gateway": gateway}
                told = {name: value for name, value in old.items() if value}
                netlink.route("del", family=family, **told, scope=SCOPE_ANY)


def route_of(route: Any) -> Route:
    """One that the kernel tells."""
    return f"{route.get('dst')}/{route['dst_len']}", route.get("priority") or 0, route.get("gateway")


def _pools_there(netlink: IPRoute) -> set[str]:
    """Those that have an end here, also of a worker that was told otherwise."""
    routes = [one for family in FAMILIES for one in netlink.get_routes(family=family, proto=ROUTE_PROTOCOL)]
    return {to for to, metric, _ in map(route_of, routes) if metric == POOL_METRIC}


def _pool_route(netlink: IPRoute, verb: str, pool: str) -> None:
    network = ip_network(pool)
    family = AF_INET if network.version == 4 else AF_INET6
    route = {"type": "unreachable", "proto": ROUTE_PROTOCOL, "priority": POOL_METRIC}
    netlink.route(verb, family=family, dst=str(network), **route)


def _make_room_for_neighbours() -> None:
    """All of a machine's namespaces share it, and only the first may change it."""
    for family, (name, wanted) in product(("ipv4", "ipv6"), NEIGHBOURS.items()):
        path = SYSCTLS / family / "neigh/default" / name
        if path.exists() and int(path.read_text()) < wanted:
            path.write_text(str(wanted))


def _forward_ipv6() -> None:
    # IPv6 forwards on all interfaces or on none. A router ignores advertisements unless told to go on listening
    # (accept_ra 2): the host must not lose its own default route by becoming one.
    if (SYSCTLS / "ipv6/conf/all/forwarding").read_text().strip() == "1":
        return
    for accept in (SYSCTLS / "ipv6/conf").glob("*/accept_ra"):
        if accept.read_text().strip() == "1":
            accept.write_text("2")
    sysctl("ipv6/conf/all/forwarding", 1)
