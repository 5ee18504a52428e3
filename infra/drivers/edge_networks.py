"""A load balancer's private side on its edge: a network namespace of its own, with one cable into the network's bridge.

HAProxy listens and connects in there, so that two networks may have the same range. The bridge is the network's, as
on hosts: ``pb-<vni>``, with a VXLAN where there is an underlay; a host beside the edge may be on it as well. All but
the namespaces lives in the network namespace of the calling process. Blocking.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from socket import AF_INET
from typing import Any

from pyroute2 import IPRoute, NetNS, netns
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.edge_plan import Balancer, EdgePlan, PrivateSide
from infra.domain.networks import mac_of
from infra.domain.port_names import bridge_name, cable_name, vni_of
from infra.drivers.links import IS_UP, forget_neighbours, link_named
from infra.drivers.overlays import ensure_bridge, ensure_overlay, set_apart

log = logging.getLogger(__name__)

Links = dict[str, Any]
INSIDE = "eth0"
NO_ARP, PERMANENT, MASTER = 0x40, 0x80, 0x04
NETNS = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class _Made:
    """``bridge``, ``cable``: indices. ``namespace``: its device and inode."""

    side: PrivateSide
    bridge: int
    cable: int
    namespace: tuple[int, int]


@dataclass
class EdgeNetworks:
    """``prefix``: of the namespaces, which all of a machine can see. ``underlay``: the address that VXLAN leaves by;
    None: there is no other machine. ``mtu``: of private networks."""

    prefix: str
    underlay: str | None = None
    mtu: int = 1450
    _made: dict[int, _Made] = field(default_factory=dict)
    """By member, what was found to be in order, inside too: entering a namespace takes a process and its time."""

    def namespace(self, member_id: int) -> str:
        return f"{self.prefix}{member_id}"

    def ensure(self, plan: EdgePlan) -> dict[int, str]:
        """Of the load balancers whose private side cannot be made, by id: what is wrong. The others have theirs."""
        problems: dict[int, str] = {}
        bridges: dict[int, int] = {}
        with IPRoute() as netlink:
            links = _links(netlink)
            for balancer, side in _sides(plan):
                try:
                    bridges[side.member_id] = self._ensure_side(netlink, links, side)
                except Exception:  # whatever it is, it is no reason to leave the others without
                    log.exception("the private side of load balancer %s cannot be made", balancer.id)
                    problems[balancer.id] = "its private side cannot be made"
                    self._begin_anew(side.member_id)
            # Last: a bridge whose own address changes, as with a port that comes, forgets all its neighbours.
            self._tell(
                netlink, [(side, bridges[side.member_id]) for _, side in _sides(plan) if side.member_id in bridges]
            )
        return problems

    def remove_others(self, plan: EdgePlan) -> None:
        """Those that the plan does not name, with the bridges that nobody else hangs on, whoever left them."""
        wanted = {side.member_id: side.vni for _, side in _sides(plan)}
        for file in NETNS.glob(f"{self.prefix}*"):
            told = file.name.removeprefix(self.prefix)
            if told.isdecimal() and int(told) not in wanted:
                self._remove(int(told))
        with IPRoute() as netlink:
            for name, link in _links(netlink).items():
                vni = vni_of(name)
                if vni and vni not in wanted.values() and name == bridge_name(vni) and _is_edges(link):
                    _remove_unused(netlink, link["index"])

    def _begin_anew(self, member_id: int) -> None:
        try:
            self._remove(member_id, bridge_too=False)
        except (NetlinkError, OSError) as error:
            log.warning("what there is of member %s cannot be removed: %s", member_id, error)

    def _ensure_side(self, netlink: IPRoute, links: Links, side: PrivateSide) -> int:
        """The index of its bridge."""
        name, cable = self.namespace(side.member_id), cable_name(side.member_id)
        bridge, link = links.get(bridge_name(side.vni)), links.get(cable)
        made = self._made.get(side.member_id)
        if (
            bridge
            and link
            and made == _Made(side, bridge["index"], link["index"], _identity(name))
            and _is_in(link, bridge)
        ):
            return int(bridge["index"])
        bridge_index = self._ensure_bridge(netlink, side.vni)
        if not _can_be_entered(name):
            self._remove(side.member_id, bridge_too=False)
            netns.create(name)
        self._ensure_cable(netlink, side, bridge_index)
        _ensure_inside(name, side)
        index = netlink.link("get", ifname=cable)[0]["index"]
        self._made[side.member_id] = _Made(side, bridge_index, index, _identity(name))
        return bridge_index

    def _ensure_cable(self, netlink: IPRoute, side: PrivateSide, bridge: int) -> None:
        cable, name = cable_name(side.member_id), self.namespace(side.member_id)
        own = "fe" + side.mac[2:]  # this end, unlike the one inside, and above those of the bridge's other ports
        if link_named(netlink, cable) is None:
            peer = {"ifname": INSIDE, "net_ns_fd": name, "address": side.mac, "mtu": self.mtu}
            netlink.link("add", ifname=cable, kind="veth", mtu=self.mtu, address=own, peer=peer)
        link = link_named(netlink, cable)
        if link.get("address") != own:
            netlink.link("set", index=link["index"], address=own)
        if link.get("master") != bridge:
            netlink.link("set", index=link["index"], master=bridge)
        set_apart(cable)
        netlink.brport("set", index=link["index"], learning=0, unicast_flood=0)
        netlink.link("set", index=link["index"], state="up")

    def _tell(self, netlink: IPRoute, sides: Sequence[tuple[PrivateSide, int]]) -> None:
        """Where each is, if nobody has said it yet: FRR tells the other machines."""
        told = {
            (one["ifindex"], one.get("dst"), one.get("lladdr"))
            for one in (netlink.get_neighbours(family=AF_INET, state=PERMANENT) if sides else ())
        }
        entries = {(one["ifindex"], one.get("lladdr")) for one in (netlink.fdb("dump") if sides else ())}
        for side, bridge in sides:
            cable = self._made[side.member_id].cable
            try:
                if (cable, side.mac) not in entries:
                    netlink.fdb("replace", ifindex=cable, lladdr=side.mac, state=NO_ARP, flags=MASTER)
                if (bridge, side.ip, side.mac) not in told:
                    netlink.neigh("replace", dst=side.ip, lladdr=side.mac, ifindex=bridge, state=PERMANENT)
            except (NetlinkError, OSError) as error:
                log.warning("where member %s is cannot be told: %s", side.member_id, error)

    def _ensure_bridge(self, netlink: IPRoute, vni: int) -> int:
        bridge = ensure_bridge(netlink, vni, self.mtu, self.underlay or "")
        if self.underlay:
            ensure_overlay(netlink, vni, self.mtu, self.underlay, bridge)
        return bridge

    def _remove(self, member_id: int, bridge_too: bool = True) -> None:
        self._made.pop(member_id, None)
        cable = cable_name(member_id)
        with IPRoute() as netlink:
            link = link_named(netlink, cable)
            bridge = link and link.get("master")
            if bridge:
                forget_neighbours(netlink, bridge, AF_INET, mac_of(member_id), ())
            with _unless(errno.ENODEV):
                netlink.link("del", ifname=cable)
            _remove_namespace(self.namespace(member_id))
            if bridge and bridge_too:
                _remove_unused(netlink, bridge)


def _remove_unused(netlink: IPRoute, bridge: int) -> None:
    names = [str(one.get("ifname")) for one in netlink.get_links() if one.get("master") == bridge]
    if any(vni_of(name) is None for name in names):
        return
    with _unless(errno.ENODEV):
        for name in names:
            netlink.link("del", ifname=name)
        netlink.link("del", index=bridge)


def _is_edges(bridge: Any) -> bool:
    """Whether no host has written on it that it has a member there."""
    return not re.match(r"puchify network \d", str(bridge.get("ifalias") or ""))


def _is_in(link: Any, bridge: Any) -> bool:
    return bool(link.get("master") == bridge["index"] and link["flags"] & bridge["flags"] & IS_UP)


def _identity(name: str) -> tuple[int, int]:
    """Of a namespace: it is another after it was made anew."""
    try:
        told = (NETNS / name).stat()
    except FileNotFoundError:
        return 0, 0
    return told.st_dev, told.st_ino


def _can_be_entered(name: str) -> bool:
    """Not so is a file that nothing is mounted on, as a crash leaves it, or a boot."""
    file = NETNS / name
    return file.exists() and file.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


def _remove_namespace(name: str) -> None:
    with _unless(errno.ENOENT, errno.EINVAL):  # EINVAL: nothing is mounted there
        netns.remove(name)
    (NETNS / name).unlink(missing_ok=True)


def _ensure_inside(name: str, side: PrivateSide) -> None:
    with NetNS(name) as inside:
        for ifname in ("lo", INSIDE):
            inside.link("set", index=inside.link_lookup(ifname=ifname)[0], state="up")
        index = inside.link_lookup(ifname=INSIDE)[0]
        if inside.get_links(index)[0].get("address") != side.mac:
            inside.link("set", index=index, address=side.mac)
        length = ip_network(side.ip_range).prefixlen
        for one in inside.get_addr(index=index):
            stale = (one.get("address"), one["prefixlen"]) != (side.ip, length)
            if one["family"] == 2 and stale:  # AF_INET
                inside.addr("del", index=index, address=one.get("address"), prefixlen=one["prefixlen"])
        inside.addr("replace", index=index, address=side.ip, prefixlen=length)


def _sides(plan: EdgePlan) -> Iterator[tuple[Balancer, PrivateSide]]:
    return ((balancer, balancer.private) for balancer in plan.balancers if balancer.private)


def _links(netlink: IPRoute) -> Links:
    return {str(one.get("ifname")): one for one in netlink.get_links()}


@contextmanager
def _unless(*fine: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in fine:
            raise
    except OSError as error:
        if error.errno not in fine:
            raise
