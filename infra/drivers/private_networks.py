"""Private networks on a host: a bridge for each that has a member here, its VXLAN to the other hosts, and the members.

Nobody learns by listening: what the host knows of its members (forwarding entries, permanent neighbours) is what FRR
tells the other hosts (EVPN), and FRR adds the others'. A network's bridge comes with its first member and goes with its
last. Its zone of connection tracking is written on the bridge, where it is found again after a restart.

Source: the EVPN recipes of FRR, and Linux' Documentation/networking/bridge.rst.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import AF_INET
from typing import Any

from pyroute2 import IPRoute

from infra.domain.firewall_rules import ZONES
from infra.domain.networks import mac_of
from infra.domain.port_names import bridge_name, overlay_name, private_tap_name
from infra.domain.port_plan import PrivatePort
from infra.drivers.links import (
    NEIGHBOUR_PERMANENT,
    NEIGHBOUR_STATIC,
    SYSCTLS,
    Owner,
    Tap,
    ensure_tap,
    forget_neighbours,
    link_named,
    owned_by,
    remove_link,
    sysctl,
)
from infra.drivers.overlays import ensure_bridge, ensure_overlay

log = logging.getLogger(__name__)

OF_MASTER = 0x04  # ntf_flags: the entry is the bridge's, not the device's


class NoRoomForNetworks(OSError):
    """More private networks on one host than connections can be tracked apart."""


@dataclass
class PrivateNetworks:
    """``vtep``: the host's tunnel address; "": there are no other hosts. ``mtu``: of all that is in a network."""

    owner: Owner
    vtep: str = ""
    mtu: int = 1450
    _members: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By VNI: who is here, or is to be in a moment."""
    _zones: dict[int, int] = field(default_factory=dict)
    _last_zone: int = field(default_factory=lambda: secrets.randbelow(len(ZONES)))
    """Anywhere: connections of a network that is gone may outlive the worker that it had."""
    _locks: dict[int, threading.Lock] = field(default_factory=dict)
    _registry: threading.Lock = field(default_factory=threading.Lock)

    def prepare_host(self, bridges: dict[int, str]) -> None:
        """``bridges``: those that are there, by VNI, and what is written on them."""
        if not (SYSCTLS / "bridge").exists() and shutil.which("modprobe"):
            subprocess.run(("modprobe", "br_netfilter"), capture_output=True)
        for hindrance in self.hindrances():
            log.error("%s", hindrance)
        with self._registry:
            self._zones.update({vni: zone for vni, alias in bridges.items() if (zone := _zone_on(alias))})

    def hindrances(self) -> list[str]:
        """What the kernel lacks, in words."""
        if (SYSCTLS / "bridge").exists():
            return []
        return ["the kernel's br_netfilter is missing: firewalls know no connections in private networks"]

    def expect(self, port: PrivatePort) -> int:
        """The network stays from now on until the member has gone. Its zone."""
        with self._lock(port.vni), self._registry:  # one that is just being taken away is gone first
            self._members[port.vni].add(port.member_id)
            return self._zone_of(port.vni)

    def is_expected(self, member_id: int) -> bool:
        with self._registry:
            return any(member_id in members for members in self._members.values())

    def has_expected(self, vni: int) -> bool:
        with self._registry:
            return bool(self._members.get(vni))

    def make_tap(self, netlink: IPRoute, server_id: int, port: PrivatePort) -> Tap:
        """One that is fresh is in no bridge."""
        name = private_tap_name(port.member_id)
        own = "fe" + mac_of(port.member_id)[2:]  # the host's end, unlike the guest's
        tap = ensure_tap(netlink, name, self.owner, owned_by(server_id), address=own, mtu=self.mtu)
        sysctl(f"ipv6/conf/{name}/disable_ipv6", 1)
        sysctl(f"ipv4/conf/{name}/forwarding", 0)
        return tap

    def connect(self, netlink: IPRoute, port: PrivatePort, tap: Tap, nothing_old: bool) -> None:
        """Into its bridge, and then known there. Its rules are there. ``nothing_old``: see `public_ports.connect`."""
        with self._lock(port.vni):
            bridge = self._ensure_bridge(netlink, port)
            netlink.link("set", index=tap.index, master=bridge)
            netlink.brport("set", index=tap.index, learning=0, unicast_flood=0)
            netlink.link("set", index=tap.index, state="up")
        tell(netlink, port, tap.index, bridge)
        if not nothing_old:
            forget_neighbours(netlink, bridge, AF_INET, port.mac, {port.ip, *port.aliases})

    def tell_again(self, netlink: IPRoute, port: PrivatePort) -> None:
        tap = link_named(netlink, private_tap_name(port.member_id))
        if tap is not None and tap.get("master"):
            tell(netlink, port, tap["index"], tap.get("master"))

    def disconnect(self, netlink: IPRoute, member_id: int) -> None:
        """Nobody is told of it any more, and nothing reaches it; its tap is left, down and alone."""
        link = link_named(netlink, private_tap_name(member_id))
        if link is not None:
            if bridge := link.get("master"):
                forget_neighbours(netlink, bridge, AF_INET, mac_of(member_id), ())
            netlink.link("set", index=link["index"], state="down")
            netlink.link("set", index=link["index"], master=0)

    def forget(self, vni: int, member_id: int) -> None:
        with self._registry:
            self._members[vni].discard(member_id)

    def remove_if_empty(self, netlink: IPRoute, vni: int, remove_rules: Callable[[int], None]) -> None:
        """The network has gone when its last member has. ``remove_rules``: the network's."""
        with self._lock(vni):
            with self._registry:
                if self._members[vni]:
                    return
            bridge = link_named(netlink, bridge_name(vni))
            if bridge is not None and _has_members(netlink, bridge["index"], vni):
                return
            remove_link(netlink, overlay_name(vni))
            remove_rules(vni)
            remove_link(netlink, bridge_name(vni))
            with self._registry:
                if not self._members[vni]:
                    del self._members[vni]
                    self._zones.pop(vni, None)

    def track(self, netlink: IPRoute, vni: int, add_rules: Callable[[int, int], None]) -> None:
        """A network that only others on this machine are in (an edge's load balancers): without its rules nothing
        passes its bridge. ``add_rules``: the network's, with its zone."""
        with self._lock(vni):
            bridge = link_named(netlink, bridge_name(vni))
            if bridge is not None and _has_members(netlink, bridge["index"], vni):
                with self._registry:
                    zone = self._zone_of(vni)
                netlink.link("set", index=bridge["index"], IFLA_IFALIAS=f"puchify network zone {zone}")
                add_rules(vni, zone)

    def _zone_of(self, vni: int) -> int:
        if vni not in self._zones:
            self._zones[vni] = self._free_zone()
        return self._zones[vni]

    def _ensure_bridge(self, netlink: IPRoute, port: PrivatePort) -> int:
        alias = f"puchify network {port.network_id} zone {self._zones[port.vni]}"
        bridge = ensure_bridge(netlink, port.vni, self.mtu, self.vtep, ifalias=alias)
        if self.vtep:
            ensure_overlay(netlink, port.vni, self.mtu, self.vtep, bridge)
        else:
            remove_link(netlink, overlay_name(port.vni))
        return bridge

    def _free_zone(self) -> int:
        """The next one: what is left of an old network's connections has time to end."""
        taken = set(self._zones.values())
        zones = (ZONES.start + (self._last_zone + step) % len(ZONES) for step in range(len(ZONES)))
        zone = next((zone for zone in zones if zone not in taken), None)
        if zone is None:
            raise NoRoomForNetworks(f"there are {len(taken)} private networks here already")
        self._last_zone = zone
        return zone

    @contextmanager
    def _lock(self, vni: int) -> Iterator[None]:
        with self._registry:
            lock = self._locks.setdefault(vni, threading.Lock())
        with lock:
            yield


def tell(netlink: IPRoute, port: PrivatePort, index: int, bridge: int) -> None:
    """Where the member is: FRR tells the other hosts. FRR may take both entries away while another host, that the
    member was on, still says the same of itself: look again."""
    entry = {"ifindex": index, "lladdr": port.mac}
    netlink.fdb("replace", **entry, state=NEIGHBOUR_STATIC, flags=OF_MASTER)
    for address in (port.ip, *port.aliases):
        netlink.neigh("replace", dst=address, lladdr=port.mac, ifindex=bridge, state=NEIGHBOUR_PERMANENT)


def _has_members(netlink: IPRoute, bridge: int, vni: int) -> bool:
    ports = netlink.get_links(master=bridge)
    return any(link.get("master") == bridge and link.get("ifname") != overlay_name(vni) for link in ports)


def _zone_on(alias: Any) -> int | None:
    found = re.search(r" zone (\d+)$", str(alias))
    return int(found[1]) if found else None
