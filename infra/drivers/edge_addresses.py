"""A load balancer's public addresses on its edge: on a link of their own, and announced by routes that FRR spreads.

An address is there before HAProxy listens on it, and goes when nobody does any more. The routes have our protocol
number, and the address's generation in their metric: where two announce an address, routers take the newer.
All of it lives in the network namespace of the calling process. Blocking.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.addressing import route_metric
from infra.domain.edge_plan import EdgePlan
from infra.drivers.public_ports import ADDRESS_WITHOUT_DAD, ROUTE_PROTOCOL

LINK, NOWHERE = "lb0", "lb0-nowhere"
LINK_SCOPE, HOST_SCOPE, ANY_SCOPE = 253, 254, 255
MAIN_TABLE, LOCAL_TABLE = 254, 255


@dataclass(frozen=True, slots=True)
class Route:
    destination: str
    metric: int

    @property
    def family(self) -> int:
        return AF_INET6 if ":" in self.destination else AF_INET


def ensure_addresses(plan: EdgePlan) -> None:
    """Add what is missing; nothing goes."""
    with IPRoute() as netlink:
        index = _ensure_link(netlink)
        for address in {one for balancer in plan.balancers for one in balancer.public} - _addresses(netlink, index):
            if ":" in address:
                netlink.addr("replace", index=index, address=address, prefixlen=128, flags=ADDRESS_WITHOUT_DAD)
            else:
                netlink.route("replace", **_own(address, index))
        for route in wanted_routes(plan) - _routes(netlink, index):
            scope = {"scope": LINK_SCOPE} if route.family == AF_INET else {}
            netlink.route("replace", **_told(route, index), **scope)


def withdraw_addresses(plan: EdgePlan) -> None:
    """Take away what the plan does not name: routes first, so that nobody is led to where nobody listens."""
    with IPRoute() as netlink:
        index = _ensure_link(netlink)
        for route in _routes(netlink, index) - wanted_routes(plan):
            with _Gone():
                netlink.route("del", **_told(route, index), scope=ANY_SCOPE)
        for address in _addresses(netlink, index) - {one for balancer in plan.balancers for one in balancer.public}:
            with _Gone():
                if ":" in address:
                    netlink.addr("del", index=index, address=address, prefixlen=128)
                else:
                    netlink.route("del", **_own(address, index))


def remove_link() -> None:
    """With all that is on it."""
    with IPRoute() as netlink:
        for index in netlink.link_lookup(ifname=LINK):
            with _Gone():
                netlink.link("del", index=index)


def wanted_routes(plan: EdgePlan) -> set[Route]:
    """An IPv4 address, and all of the /64 that an IPv6 one is of."""
    told = [
        pair for one in plan.balancers for pair in ((one.ipv4, one.ipv4_generation), (one.ipv6, one.ipv6_generation))
    ]
    return {
        Route(str(ip_network((address, 64 if ":" in address else 32), strict=False)), route_metric(generation))
        for address, generation in told
        if address
    }


def _ensure_link(netlink: IPRoute) -> int:
    """A cable to nowhere: it has a carrier, which routers ask for, and every kernel has it for private networks."""
    if not netlink.link_lookup(ifname=LINK):
        netlink.link("add", ifname=LINK, kind="veth", peer={"ifname": NOWHERE})
    for name in (NOWHERE, LINK):
        index = netlink.link_lookup(ifname=name)[0]
        netlink.link("set", index=index, state="up")
    return int(index)


def _addresses(netlink: IPRoute, index: int) -> set[str]:
    """Those of global scope: the link has one of its own."""
    found: Iterable[Any] = netlink.get_addr(family=AF_INET6, index=index)
    own: Iterable[Any] = netlink.get_routes(family=AF_INET, table=LOCAL_TABLE, oif=index, proto=ROUTE_PROTOCOL)
    return {one.get("address") for one in found if one["scope"] == 0} | {one.get("dst") for one in own}


def _own(address: str, index: int) -> dict[str, Any]:
    """What makes an IPv4 address this machine's without being on a link: of an address and a route of one length FRR
    takes the address for the better one, which it does not announce."""
    told = {"dst": f"{address}/32", "type": "local", "table": LOCAL_TABLE, "scope": HOST_SCOPE}
    return {**told, "family": AF_INET, "oif": index, "proto": ROUTE_PROTOCOL}


def _routes(netlink: IPRoute, index: int) -> set[Route]:
    found: list[Any] = []
    for family in (AF_INET, AF_INET6):
        found += netlink.get_routes(family=family, table=MAIN_TABLE, oif=index, proto=ROUTE_PROTOCOL)
    return {Route(f"{one.get('dst')}/{one['dst_len']}", one.get("priority") or 0) for one in found}


def _told(route: Route, index: int) -> dict[str, Any]:
    told = {"dst": route.destination, "priority": route.metric, "family": route.family}
    return {**told, "oif": index, "proto": ROUTE_PROTOCOL}


class _Gone:
    """What is gone already is fine."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, NetlinkError) and error.code in (errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL)
