"""Where rules of several parties meet: guests of one host, what belongs to the platform, and the host itself."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from infra.domain import firewall_rules
from infra.domain.firewall_rules import INBOUND, OUTBOUND, TABLE
from infra.domain.firewalls import Rule
from infra.domain.host_rules import VXLAN_PORT
from infra.domain.port_names import overlay_name
from infra.domain.port_plan import PortPlan
from infra.drivers import nft
from tests.host.frames import GATEWAY_MAC, GuestEnd, arp, ipv4, ping4, ping6, udp4
from tests.network.fix_wire import (
    ALICE,
    BOB,
    FAR,
    FAR_MAC,
    METADATA,
    NETWORK_A,
    UPLINK,
    UPLINK_MAC,
    VTEP,
    WORLD_MAC,
    Wire,
    address6,
    forget_connections,
    ip,
    private_tap,
    public_tap,
)
from tests.network.packets import Kind, Packet, encoded

OUT = Rule("out", "tcp", "80", (), ("203.0.113.12/32", "2001:db8:77:c::/64", "10.0.0.3/32"))
ELSEWHERE = replace(OUT, destination_ips=("203.0.113.99/32", "2001:db8:77:cc::/64", "10.0.0.99/32"))
IN = Rule("in", "tcp", "80", ("203.0.113.11/32", "2001:db8:77:b::/64", "10.0.0.2/32"))
FROM_ELSEWHERE = replace(IN, source_ips=OUT.destination_ips)
MAC = ALICE.public.mac
MARK = b"<000001>"


def syn(source: str, target: str, port: int = 80, kind: Kind = "tcp", mac: str = MAC, to: str = GATEWAY_MAC) -> bytes:
    return encoded(Packet(1, kind, target, port), mac, source, target, to)


def arrives(sender: GuestEnd, receiver: GuestEnd, frame: bytes) -> bool:
    """The host has passed it on, or not, by the time at which its gateway has answered."""
    forget_connections()
    receiver.pending()
    sender.send(frame)
    sender.send(ping4(MAC, str(ALICE.public.ipv4), "172.31.1.1", b"LAST"))
    sender.until(b"LAST")
    return any(MARK in frame for frame in receiver.pending())


def own4(plan: PortPlan) -> str:
    return str(plan.public.ipv4)


@pytest.mark.parametrize(("goes", "comes"), list(product((True, False), repeat=2)))
@pytest.mark.parametrize("address", [own4, address6])
def test_between_public_ports_both_sides_rules_count(
    wire: Wire, address: Callable[[PortPlan], str], goes: bool, comes: bool
) -> None:
    wire.apply(
        replace(ALICE, firewalls=(1,), rules=(OUT if goes else ELSEWHERE,)),
        replace(BOB, firewalls=(2,), rules=(IN if comes else FROM_ELSEWHERE,)),
    )
    with wire.ends(public_tap(ALICE), public_tap(BOB)) as (alice, bob):
        assert arrives(alice, bob, syn(address(ALICE), address(BOB))) is (goes and comes)


@pytest.mark.parametrize(("goes", "comes"), list(product((True, False), repeat=2)))
def test_between_private_ports_both_sides_rules_count(wire: Wire, goes: bool, comes: bool) -> None:
    wire.apply(
        replace(ALICE, firewalls=(1,), rules=(OUT if goes else ELSEWHERE,)),
        replace(BOB, firewalls=(2,), rules=(IN if comes else FROM_ELSEWHERE,)),
    )
    (ours,), (theirs,) = ALICE.private, BOB.private
    with wire.ends(private_tap(ALICE), private_tap(BOB)) as (alice, bob):
        alice.send(syn(ours.ip, theirs.ip, mac=ours.mac, to=theirs.mac))
        alice.send(arp(ours.mac, ours.ip, target=theirs.ip) + b"LAST")
        assert any(MARK in frame for frame in bob.until(b"LAST")) is (goes and comes)


INFRASTRUCTURE = ["10.255.0.9", "2001:db8:fff::9", "169.254.7.7"]


@pytest.mark.parametrize("target", [*INFRASTRUCTURE, "198.18.0.9", "2001:db8:a000::9"])
def test_guests_reach_the_world_but_not_the_infrastructure(wire: Wire, target: str) -> None:
    with wire.ends(public_tap(ALICE), UPLINK) as (alice, world):
        source = address6(ALICE) if ":" in target else own4(ALICE)
        assert arrives(alice, world, syn(source, target)) is (target not in INFRASTRUCTURE)


@pytest.mark.parametrize(
    ("target", "port", "reached"),
    [
        (METADATA, 80, True),
        ("fe80::1", 80, True),
        (METADATA, 22, False),
        ("fe80::1", 22, False),
        ("172.31.1.1", 80, False),
        (VTEP, 80, False),
        (VTEP, 179, False),
        ("192.0.2.2", 80, False),
        ("2001:db8:2::2", 80, False),
    ],
)
def test_of_the_host_guests_reach_the_metadata_alone(wire: Wire, target: str, port: int, reached: bool) -> None:
    """Nobody listens: what is reached refuses the connection."""
    source = address6(ALICE) if ":" in target else own4(ALICE)
    with wire.ends(public_tap(ALICE)) as (alice,):
        alice.send(syn(source, target, port))
        alice.send(ping4(MAC, own4(ALICE), "172.31.1.1", b"LAST"))
        tcp = [frame for frame in alice.until(b"LAST") if len(frame) == 54 + 20 * (":" in target)]
        assert bool(tcp) is reached


def test_a_guest_sends_nothing_into_the_tunnels_of_another_host(wire: Wire) -> None:
    """That would be a frame in whatever private network it names."""
    frame = udp4(MAC, own4(ALICE), "10.255.0.2", MARK, (1000, VXLAN_PORT))
    with wire.ends(public_tap(ALICE), UPLINK) as (alice, world):
        assert not arrives(alice, world, frame)


@pytest.mark.parametrize(("source", "taken"), [("10.255.0.2", True), ("198.18.0.9", False)])
def test_tunnels_are_taken_from_other_hosts_alone(wire: Wire, source: str, taken: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tunnel, wire.ends(UPLINK) as (world,):
        tunnel.bind((VTEP, VXLAN_PORT))
        world.send(
            ipv4(WORLD_MAC, source, VTEP, 17, struct.pack("!4H", 1, VXLAN_PORT, 8 + len(MARK), 0) + MARK, to=UPLINK_MAC)
        )
        world.send(ping4(WORLD_MAC, "192.0.2.1", "192.0.2.2", b"LAST", UPLINK_MAC))
        world.until(b"LAST")
        tunnel.setblocking(False)
        assert _heard(tunnel) is taken


def _heard(tunnel: socket.socket) -> bool:
    try:
        return MARK in tunnel.recv(100)
    except BlockingIOError:
        return False


@pytest.mark.parametrize("target", [VTEP, "192.0.2.2", METADATA, "2001:db8:2::2"])
def test_the_hosts_other_addresses_do_not_answer_a_guest(wire: Wire, target: str) -> None:
    with wire.ends(public_tap(ALICE)) as (alice,):
        ping = ping6(MAC, address6(ALICE), target, MARK) if ":" in target else ping4(MAC, own4(ALICE), target, MARK)
        alice.send(ping)
        alice.send(ping4(MAC, own4(ALICE), "172.31.1.1", b"LAST"))
        assert not any(MARK in frame for frame in alice.until(b"LAST"))


def test_a_bridge_of_guests_leads_to_nothing_of_the_host(wire: Wire) -> None:
    """Not even an answer to who has an address of the host."""
    (port,) = ALICE.private
    shown = subprocess.run(("ip", "-br", "link", "show", "pb-5000"), check=True, capture_output=True, text=True).stdout
    bridge_mac = re.findall(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", shown)[0]
    with wire.ends(private_tap(ALICE), private_tap(BOB), UPLINK) as (alice, bob, world):
        alice.send(arp(port.mac, port.ip, target=VTEP))
        alice.send(ping4(port.mac, port.ip, VTEP, MARK, bridge_mac))
        alice.send(ping4(port.mac, port.ip, "198.18.0.9", MARK, bridge_mac))
        alice.send(arp(port.mac, port.ip, target=BOB.private[0].ip) + b"LAST")
        bob.until(b"LAST")
        assert not any(frame[12:14] == b"\x08\x06" or MARK in frame for frame in alice.pending())
        assert not any(MARK in frame for frame in world.pending())


@pytest.mark.parametrize("missing", ["rules", "network"])
def test_a_port_without_rules_reaches_nobody(wire: Wire, missing: str) -> None:
    if missing == "rules":
        nft.apply(firewall_rules.server_removal([private_tap(BOB), public_tap(BOB)]))
    else:
        nft.apply(firewall_rules.network_removal(BOB.private[0].vni))
    (ours,), (theirs,) = ALICE.private, BOB.private
    with wire.ends(private_tap(ALICE), private_tap(BOB)) as (alice, bob):
        alice.send(ping4(ours.mac, ours.ip, theirs.ip, MARK, theirs.mac))
        bob.send(ping4(theirs.mac, theirs.ip, ours.ip, MARK, ours.mac))
        alice.send(arp(ours.mac, ours.ip, target=theirs.ip) + b"LAST")
        if missing == "network":
            assert not any(MARK in frame for frame in bob.until(b"LAST"))
        assert not any(MARK in frame for frame in [*alice.pending(), *bob.pending()])


@pytest.mark.parametrize("prefix", [INBOUND, OUTBOUND])
def test_nothing_passes_a_public_port_whose_chain_is_empty(wire: Wire, prefix: str) -> None:
    frame = syn(own4(ALICE), own4(BOB), 22)
    with wire.ends(public_tap(ALICE), public_tap(BOB)) as (alice, bob):
        assert arrives(alice, bob, frame)
        nft.apply(f"flush chain inet {TABLE} {prefix}{public_tap(BOB if prefix == INBOUND else ALICE)}")
        assert not arrives(alice, bob, frame)


@pytest.mark.parametrize(
    "chain",
    [f"bridge {TABLE} in-{private_tap(BOB)}", f"bridge {TABLE} out-{private_tap(ALICE)}", f"inet {TABLE} pb-5000"],
)
def test_nothing_passes_a_private_port_whose_chain_is_empty(wire: Wire, chain: str) -> None:
    (ours,), (theirs,) = ALICE.private, BOB.private
    with wire.ends(private_tap(ALICE), private_tap(BOB)) as (alice, bob):
        for reached in (True, False):
            forget_connections()
            alice.send(ping4(ours.mac, ours.ip, theirs.ip, MARK, theirs.mac))
            alice.send(arp(ours.mac, ours.ip, target=theirs.ip) + b"LAST")
            assert any(MARK in frame for frame in bob.until(b"LAST")) is reached
            nft.apply(f"flush chain {chain}")


def test_who_else_is_on_a_bridge_needs_no_rules(wire: Wire) -> None:
    """A load balancer's cable, and the network's VXLAN: neither is a guest of this host."""
    cable, far_mac = "px-l1", "06:00:00:00:00:77"
    ip(f"tuntap add dev {cable} mode tap vnet_hdr", f"link set {cable} master pb-5000", f"link set {cable} up")
    try:
        nft.apply(firewall_rules.network_removal(NETWORK_A))
        with wire.ends(cable, overlay_name(NETWORK_A)) as (balancer, far):
            far.send(ping4(FAR_MAC, FAR, "10.0.0.77", MARK, far_mac))
            balancer.until(MARK)
    finally:
        ip(f"link del {cable}")


def test_the_world_reaches_a_guest_only_by_rules(wire: Wire) -> None:
    """The control of the above: with its rules in place a guest is reached."""
    with wire.ends(UPLINK, public_tap(ALICE)) as (world, alice):
        world.send(ping4(WORLD_MAC, "198.18.0.1", own4(ALICE), MARK, UPLINK_MAC))
        alice.until(MARK)
        nft.apply(firewall_rules.server_removal([public_tap(ALICE)]))
        world.send(ping4(WORLD_MAC, "198.18.0.2", own4(ALICE), MARK, UPLINK_MAC))
        assert not any(MARK in frame for frame in alice.pending())
