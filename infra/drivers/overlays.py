"""The bridge of a private network and its VXLAN to other machines, alike on hosts and on edges.

Nothing of a network reaches the machine that carries it: no IPv6, no forwarding, no answer for an address of the
machine's. Nobody learns by listening: FRR tells who is where (EVPN). Host and edge may be on one bridge; whoever comes
first makes it. Both links have a MAC of their own for good: a bridge without takes the lowest of whatever is in it.
"""

from __future__ import annotations

import errno
from hashlib import sha256
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.host_rules import VXLAN_PORT
from infra.domain.port_names import bridge_name, overlay_name
from infra.drivers.links import SYSCTLS, ensure_link, set_up, sysctl

NEVER = 8  # arp_ignore: answer for no address of the machine
BRIDGE = {
    "br_stp_state": 0,
    "br_forward_delay": 0,
    "br_mcast_snooping": 0,
    "br_nf_call_iptables": 1,  # the firewall sees what it forwards (br_netfilter)
}


def ensure_bridge(netlink: IPRoute, vni: int, mtu: int, vtep: str, **written: str) -> int:
    """The index of ``pb-<vni>``. ``vtep``: see `ensure_overlay`; "": this machine has none. ``written``: ``ifalias``,
    of whom has something to remember on it."""
    own = _mac(0x0A, vni, vtep)
    bridge = _ensure(netlink, bridge_name(vni), "bridge", BRIDGE, mtu=mtu, address=own, **written)
    return int(bridge["index"])


def ensure_overlay(netlink: IPRoute, vni: int, mtu: int, vtep: str, bridge: int) -> None:
    """``px-<vni>`` on the bridge of that index. ``vtep``: this machine's address in tunnels."""
    tunnel = {"vxlan_id": vni, "vxlan_local": vtep, "vxlan_port": VXLAN_PORT, "vxlan_learning": 0}
    own = _mac(0x0E, vni, vtep)
    overlay = _ensure(netlink, overlay_name(vni), "vxlan", tunnel, mtu=mtu, address=own, master=bridge)
    # FRR owns what is known of other machines; ARP for whom it knows is answered here.
    netlink.brport("set", index=overlay["index"], learning=0, neigh_suppress=1)


def set_apart(name: str) -> None:
    """A link that is no way into the machine."""
    sysctl(f"ipv6/conf/{name}/disable_ipv6", 1)
    if (SYSCTLS / "ipv4/conf" / name).exists():
        sysctl(f"ipv4/conf/{name}/forwarding", 0)
        sysctl(f"ipv4/conf/{name}/arp_ignore", NEVER)


def _mac(first: int, vni: int, vtep: str) -> str:
    """Locally administered, as no guest's and no tap's begins; no other machine has it in this network."""
    return bytes((first, *sha256(f"{vtep} {vni}".encode()).digest()[:5])).hex(":")


def _ensure(netlink: IPRoute, name: str, kind: str, made_with: dict[str, Any], **wanted: Any) -> Any:
    try:
        link = ensure_link(netlink, name, kind, made_with, **wanted)
    except NetlinkError as error:
        if error.code != errno.EEXIST:  # the other one of this machine was quicker
            raise
        link = ensure_link(netlink, name, kind, made_with, **wanted)
    set_apart(name)
    set_up(netlink, link)
    return link
