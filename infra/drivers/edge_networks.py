"""A load balancer's private side on its edge: a network namespace of its own, with one cable into the network's bridge.

HAProxy listens and connects in there, so that two networks may have the same range. The bridge is the network's, as
on hosts: ``pb-<vni>``, with a VXLAN where there is an underlay; a host beside the edge may be on it as well. All but
the namespaces lives in the network namespace of the calling process. Blocking.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetNS, netns
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.edge_plan import EdgePlan, PrivateSide
from infra.domain.port_names import bridge_name, cable_name, overlay_name, vni_of

INSIDE = "eth0"
VXLAN_PORT = 4789
NO_ARP, PERMANENT, MASTER = 0x40, 0x80, 0x04
NETNS = Path("/run/netns")
BRIDGE = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0, "br_nf_call_iptables": 1}
"""As hosts have it: their rules see what a bridge forwards."""


@dataclass(frozen=True, slots=True)
class EdgeNetworks:
    """``prefix``: of the namespaces, which all of a machine can see. ``underlay``: the address that VXLAN leaves by;
    None: there is no other machine. ``mtu``: of private networks."""

    prefix: str
    underlay: str | None = None
    mtu: int = 1450

    def namespace(self, member_id: int) -> str:
        return f"{self.prefix}{member_id}"

    def ensure(self, plan: EdgePlan) -> None:
        with IPRoute() as netlink:
            for side in _sides(plan):
                self._ensure_side(netlink, side)

    def remove_others(self, plan: EdgePlan) -> None:
        """Those that the plan does not name, with the bridges that nobody else hangs on."""
        wanted = {side.member_id for side in _sides(plan)}
        for file in NETNS.glob(f"{self.prefix}*"):
            told = file.name.removeprefix(self.prefix)
            if told.isdecimal() and int(told) not in wanted:
                self._remove(int(told))

    def _ensure_side(self, netlink: IPRoute, side: PrivateSide) -> None:
        name, cable = self.namespace(side.member_id), cable_name(side.member_id)
        bridge = self._ensure_bridge(netlink, side.vni)
        if not (NETNS / name).exists():
            netns.create(name)
        if _link(netlink, cable) is None:
            peer = {"ifname": INSIDE, "net_ns_fd": name, "address": side.mac, "mtu": self.mtu}
            netlink.link("add", ifname=cable, kind="veth", mtu=self.mtu, peer=peer)
        link = _link(netlink, cable)
        if link.get("master") != bridge:
            netlink.link("set", index=link["index"], master=bridge)
        _without_ipv6(cable)
        netlink.brport("set", index=link["index"], learning=0, unicast_flood=0)
        netlink.link("set", index=link["index"], state="up")
        netlink.fdb("replace", ifindex=link["index"], lladdr=side.mac, state=NO_ARP, flags=MASTER)
        netlink.neigh("replace", dst=side.ip, lladdr=side.mac, ifindex=bridge, state=PERMANENT)
        _ensure_inside(name, side)

    def _ensure_bridge(self, netlink: IPRoute, vni: int) -> int:
        name = bridge_name(vni)
        if _link(netlink, name) is None:
            with _unless(errno.EEXIST):
                netlink.link("add", ifname=name, kind="bridge", mtu=self.mtu, **BRIDGE)
        bridge = _link(netlink, name)
        _without_ipv6(name)
        netlink.link("set", index=bridge["index"], state="up")
        if self.underlay:
            self._ensure_overlay(netlink, vni, bridge["index"])
        return int(bridge["index"])

    def _ensure_overlay(self, netlink: IPRoute, vni: int, bridge: int) -> None:
        name = overlay_name(vni)
        if _link(netlink, name) is None:
            vxlan = {"vxlan_id": vni, "vxlan_local": self.underlay, "vxlan_port": VXLAN_PORT, "vxlan_learning": 0}
            with _unless(errno.EEXIST):
                netlink.link("add", ifname=name, kind="vxlan", mtu=self.mtu, **vxlan)
        link = _link(netlink, name)
        _without_ipv6(name)
        if link.get("master") != bridge:
            netlink.link("set", index=link["index"], master=bridge)
        netlink.brport("set", index=link["index"], learning=0, neigh_suppress=1)
        netlink.link("set", index=link["index"], state="up")

    def _remove(self, member_id: int) -> None:
        cable = cable_name(member_id)
        with IPRoute() as netlink:
            link = _link(netlink, cable)
            bridge = link and link.get("master")
            with _unless(errno.ENODEV):
                netlink.link("del", ifname=cable)
            with _unless(errno.ENOENT):
                netns.remove(self.namespace(member_id))
            if bridge:
                _remove_unused(netlink, bridge)


def _remove_unused(netlink: IPRoute, bridge: int) -> None:
    names = [str(one.get("ifname")) for one in netlink.get_links() if one.get("master") == bridge]
    if any(vni_of(name) is None for name in names):
        return
    with _unless(errno.ENODEV):
        for name in names:
            netlink.link("del", ifname=name)
        netlink.link("del", index=bridge)


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


def _sides(plan: EdgePlan) -> Iterator[PrivateSide]:
    return (balancer.private for balancer in plan.balancers if balancer.private)


def _link(netlink: IPRoute, name: str) -> Any:
    with _unless(errno.ENODEV):
        return netlink.link("get", ifname=name)[0]
    return None


def _without_ipv6(name: str) -> None:
    Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")


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
