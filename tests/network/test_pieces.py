"""Packets in pieces, errors about packets, and packets to everybody: what rules about ports cannot see at a glance."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from infra.domain.firewalls import Rule
from infra.domain.port_names import overlay_name
from infra.domain.port_plan import PortPlan
from tests.host.frames import ethernet, ipv4, udp4
from tests.network.fix_guests import Guests
from tests.network.fix_wire import (
    ALICE,
    BOB,
    NETWORK_A,
    UPLINK,
    UPLINK_MAC,
    WORLD_MAC,
    Wire,
    address6,
    await_carrier,
    private_tap,
    public_tap,
)

OPEN, CLOSED = 7000, 7001
ONLY_OPEN = Rule("in", "udp", str(OPEN), ("0.0.0.0/0", "::/0"))
LARGE = 4000  # bytes, which no link here carries at once
MARK = b"<000001>"
ALICE4, WORLD4 = str(ALICE.public.ipv4), "198.18.0.1"


def public4(plan: PortPlan) -> str:
    return str(plan.public.ipv4)


def private4(plan: PortPlan) -> str:
    return plan.private[0].ip


@pytest.mark.parametrize("address", [public4, address6, private4])
def test_rules_about_ports_hold_for_all_pieces_of_a_datagram(
    wire: Wire, guests: Guests, address: Callable[[PortPlan], str]
) -> None:
    wire.apply(replace(BOB, firewalls=(1,), rules=(ONLY_OPEN,)))
    alice, bob = guests.of(ALICE), guests.of(BOB)
    await_carrier(*(tap(plan) for plan in (ALICE, BOB) for tap in (public_tap, private_tap)))
    target = address(BOB)
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    sender = alice.do(lambda: socket.socket(family, socket.SOCK_DGRAM))
    receivers = [bob.do(lambda: socket.socket(family, socket.SOCK_DGRAM)) for _ in range(2)]
    for receiver, port in zip(receivers, (OPEN, CLOSED), strict=True):
        receiver.bind((target, port))
    receivers[0].settimeout(10)
    receivers[1].setblocking(False)
    with sender, receivers[0], receivers[1]:
        sender.sendto(b"x" * LARGE, (target, CLOSED))
        sender.sendto(b"y" * LARGE, (target, OPEN))
        assert receivers[0].recv(65_536) == b"y" * LARGE
        with pytest.raises(BlockingIOError):
            receivers[1].recv(65_536)


def error_about(packet: bytes) -> bytes:
    """ "Fragmentation needed" of a router on the way, about an IPv4 packet."""
    quoted = packet[14 : 14 + 28]
    body = struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + quoted
    return ipv4(WORLD_MAC, "198.18.9.9", ALICE4, 1, body, checksum_at=2, to=UPLINK_MAC)


@pytest.mark.parametrize("asked", [True, False])
def test_errors_about_its_own_packets_reach_a_guest_and_others_do_not(wire: Wire, asked: bool) -> None:
    wire.apply(replace(ALICE, firewalls=(1,)))
    packet = udp4(ALICE.public.mac, ALICE4, WORLD4, MARK, (4000, 5000))
    with wire.ends(public_tap(ALICE), UPLINK) as (alice, world):
        if asked:
            alice.send(packet)
            world.until(MARK)
        world.send(error_about(packet))
        assert any(frame[34:36] == b"\x03\x04" for frame in alice.pending()) is asked


@pytest.mark.parametrize("target", ["255.255.255.255", "10.0.255.255", "224.0.0.18"])
def test_what_is_for_everybody_reaches_every_member_that_lets_it_in(wire: Wire, target: str) -> None:
    (port,) = ALICE.private
    frame = ethernet(port.mac, udp4(port.mac, port.ip, target, MARK)[14:], 0x0800, "ff:ff:ff:ff:ff:ff")
    with wire.ends(private_tap(ALICE), private_tap(BOB), overlay_name(NETWORK_A)) as (alice, bob, far):
        alice.send(frame)
        bob.until(MARK)
        far.until(MARK)
        wire.apply(replace(BOB, firewalls=(1,)))
        alice.send(frame)
        far.until(MARK)
        assert not any(MARK in frame for frame in bob.pending())
