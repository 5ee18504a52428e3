"""A host on the wire: taps, bridges and an uplink in the test's own network, with the product's rules on them.

Alice and Bob have a public port each and one in network A; Carol is in network B, with the same range. What else is in
A is behind ``px-5000``: a tap in the place of its VXLAN, so that a test is all the other hosts. The uplink is a tap as
well: whoever holds it is the world.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from infra.config import Settings
from infra.domain import firewall_rules
from infra.domain.networks import mac_of
from infra.domain.port_names import bridge_name, overlay_name, private_tap_name, tap_name
from infra.domain.port_plan import PortPlan, PrivatePort, PublicPort
from infra.drivers import nft
from tests.host.frames import GATEWAY_MAC, GuestEnd
from workers.wiring import host_network

NETWORK_A, NETWORK_B, RANGE = 5000, 5001, "10.0.0.0/16"
ZONES = {NETWORK_A: 11, NETWORK_B: 12}
UPLINK, WORLD_MAC, UPLINK_MAC = "uplink0", "02:ff:00:00:00:01", "02:ff:00:00:00:02"
VTEP, VTEPS, FORBIDDEN = "10.255.0.1", "10.255.0.0/16", "2001:db8:fff::/48"
TOLD = Settings(uplinks=[UPLINK], forbidden=[FORBIDDEN], vtep=VTEP, vteps=[VTEPS])
"""What the host worker is told."""
FAR, FAR_MAC = "10.0.0.200", "02:01:00:00:0f:ff"
"""A member of A on another host."""
METADATA = "169.254.169.254"
LOOPBACK = (VTEP, METADATA)
FORWARDING = 3  # BR_STATE_FORWARDING


def plan_of(server_id: int, member_id: int, vni: int, ip: str, carries: tuple[str, ...] = ()) -> PortPlan:
    public = PublicPort(f"02:00:00:00:00:{server_id:02x}", f"203.0.113.{server_id}", f"2001:db8:77:{server_id:x}::/64")
    private = PrivatePort(member_id, vni, vni, mac_of(member_id), ip, RANGE, carries=carries)
    return PortPlan(server_id, 1, public, (private,))


ALICE = plan_of(11, 21, NETWORK_A, "10.0.0.2")
BOB = plan_of(12, 22, NETWORK_A, "10.0.0.3")
CAROL = plan_of(13, 23, NETWORK_B, "10.0.0.2")
DAVE = plan_of(14, 24, NETWORK_B, "10.0.0.3")
EVERYBODY = (ALICE, BOB, CAROL, DAVE)


def address6(plan: PortPlan) -> str:
    assert plan.public.ipv6_network is not None
    return str(ip_network(plan.public.ipv6_network)[1])


def public_tap(plan: PortPlan) -> str:
    return tap_name(plan.server_id)


def private_tap(plan: PortPlan) -> str:
    return private_tap_name(plan.private[0].member_id)


@dataclass(frozen=True)
class Wire:
    """The host's side: what applies rules to it, and what opens the far ends of its taps."""

    def apply(self, *plans: PortPlan) -> None:
        """All ports of the plans, as a host does it when it attaches them."""
        nft.apply("".join(firewall_rules.server_rules(plan) for plan in plans))

    def reset(self) -> None:
        """The rules that everybody begins with, and no connections."""
        networks = "".join(firewall_rules.network_rules(vni, zone) for vni, zone in ZONES.items())
        nft.apply(host_network(TOLD).rules() + firewall_rules.pace_again() + networks)
        self.apply(*EVERYBODY)
        forget_connections()

    @contextmanager
    def ends(self, *taps: str) -> Iterator[list[GuestEnd]]:
        with ExitStack() as opened:
            ends = [opened.enter_context(GuestEnd(tap)) for tap in taps]
            await_carrier(*taps)
            yield ends


def await_carrier(*taps: str, patience: float = 10.0) -> None:
    """Until the kernel has noticed that somebody holds the far ends: it drops what is sent before."""
    deadline = time.monotonic() + patience
    with IPRoute() as netlink:
        while not all(_carries(netlink.link("get", ifname=tap)[0]) for tap in taps):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no carrier: {', '.join(taps)}")
            time.sleep(0.002)


def _carries(link: Any) -> bool:
    if link.get("operstate") != "UP" or link.get("qdisc") == "noop":
        return False
    port = link.get(("linkinfo", "slave_data"))
    return port is None or port.get("state") == FORWARDING


def forget_connections() -> None:
    with NFCTSocket() as conntrack:
        conntrack.flush()


@pytest.fixture(scope="module")
def ground(private_network: None) -> Iterator[Wire]:
    with built() as wire:
        yield wire


@pytest.fixture
def wire(ground: Wire) -> Iterator[Wire]:
    yield ground
    ground.reset()


@contextmanager
def built() -> Iterator[Wire]:
    with sysctls("net/bridge/bridge-nf-call-iptables", "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        try:
            ip(*_host_lines())
            learn((overlay_name(NETWORK_A), FAR_MAC), *((private_tap(plan), plan.private[0].mac) for plan in EVERYBODY))
            wire = Wire()
            wire.reset()
            ip(*(f"link set {tap} up" for tap in _taps()))
            yield wire
        finally:
            links = (*_taps(), *map(bridge_name, ZONES))
            ip(*(f"link del {link}" for link in links), *(f"address del {address}/32 dev lo" for address in LOOPBACK))
            nft.apply(firewall_rules.base_removal())
            forget_connections()


@contextmanager
def sysctls(*names: str) -> Iterator[None]:
    """Switched on, and back to what they were."""
    before = {path: path.read_text() for path in (Path("/proc/sys", name) for name in names)}
    for path in before:
        path.write_text("1")
    try:
        yield
    finally:
        for path, value in before.items():
            path.write_text(value)


def ip(*lines: str) -> None:
    """What can be done of the lines is done. CalledProcessError: that was not all."""
    subprocess.run(("ip", "-force", "-batch", "-"), input="".join(f"{line}\n" for line in lines), check=True, text=True)


def learn(*members: tuple[str, str]) -> None:
    """Where which MAC is: nothing is flooded."""
    lines = "".join(f"fdb replace {mac} dev {tap} master static\n" for tap, mac in members)
    subprocess.run(("bridge", "-batch", "-"), input=lines, check=True, text=True)


def _taps() -> Sequence[str]:
    servers = [tap for plan in EVERYBODY for tap in (public_tap(plan), private_tap(plan))]
    return (UPLINK, overlay_name(NETWORK_A), *servers)


def _host_lines() -> Iterator[str]:
    yield from (f"address add {address}/32 dev lo" for address in LOOPBACK)
    for vni in ZONES:
        yield f"link add {bridge_name(vni)} type bridge mcast_snooping 0"
        yield f"link set {bridge_name(vni)} addrgenmode none"
        yield f"link set {bridge_name(vni)} up"
    yield f"tuntap add dev {UPLINK} mode tap vnet_hdr"
    yield f"link set {UPLINK} address {UPLINK_MAC}"
    yield f"link set {UPLINK} addrgenmode none"
    yield f"link set {UPLINK} up"
    yield f"address add 192.0.2.2/24 dev {UPLINK}"
    yield f"address add 2001:db8:2::2/64 dev {UPLINK} nodad"
    for gateway in ("192.0.2.1", "2001:db8:2::1"):
        yield f"neigh replace {gateway} lladdr {WORLD_MAC} dev {UPLINK} nud permanent"
    yield f"route add default via 192.0.2.1 dev {UPLINK}"
    yield f"route add ::/0 via 2001:db8:2::1 dev {UPLINK}"
    yield f"tuntap add dev {overlay_name(NETWORK_A)} mode tap vnet_hdr"
    yield from _member_lines(overlay_name(NETWORK_A), NETWORK_A)
    for plan in EVERYBODY:
        yield from _public_lines(plan)
        yield f"tuntap add dev {private_tap(plan)} mode tap vnet_hdr"
        yield from _member_lines(private_tap(plan), plan.private[0].vni)


def _public_lines(plan: PortPlan) -> Iterator[str]:
    tap = public_tap(plan)
    yield f"tuntap add dev {tap} mode tap vnet_hdr"
    yield f"link set {tap} address {GATEWAY_MAC}"
    yield f"link set {tap} addrgenmode none"
    yield f"link set {tap} up"
    yield f"address add 172.31.1.1/32 dev {tap}"
    yield f"address add fe80::1/64 dev {tap} nodad"
    yield f"route add {plan.public.ipv4}/32 dev {tap} scope link"
    yield f"route add {plan.public.ipv6_network} via {address6(plan)} dev {tap} onlink"
    for address in (plan.public.ipv4, address6(plan)):
        yield f"neigh replace {address} lladdr {plan.public.mac} dev {tap} nud permanent"


def _member_lines(tap: str, vni: int) -> Iterator[str]:
    yield f"link set {tap} addrgenmode none"
    yield f"link set {tap} master {bridge_name(vni)}"
