"""What a guest would send to be taken for somebody else, each beside what it may send of that kind."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tests.host.frames import advertisement, arp, ethernet, ipv4, ping4, udp4, udp6
from tests.network.fix_wire import ALICE, BOB, METADATA, address6
from tests.network.packets import Packet, encoded

MARK = b"<000001>"


@dataclass(frozen=True)
class Pair:
    forged: bytes
    honest: bytes


A, B = ALICE.public.mac, BOB.public.mac
A4, B4 = str(ALICE.public.ipv4), str(BOB.public.ipv4)
A6, B6 = address6(ALICE), address6(BOB)
GATEWAY4, GATEWAY6, LOCAL = "172.31.1.1", "fe80::1", "fe80::ff:fe00:b"
UDP4, UDP6 = udp4(A, A4, B4, MARK), udp6(A, A6, B6, MARK)
ARP = arp(A, A4)
NA, NS = advertisement(A, A6, A6), advertisement(A, A6, GATEWAY6, 135)


def tagged(frame: bytes, kind: int = 0x8100) -> bytes:
    """In VLAN 7."""
    return frame[:12] + struct.pack("!HH", kind, 7) + frame[12:]


def icmp4(mac: str, source: str, target: str, kind: int) -> bytes:
    return ipv4(mac, source, target, 1, struct.pack("!BBHI", kind, 0, 0, 0) + MARK, checksum_at=2)


def syn(mac: str, source: str, target: str) -> bytes:
    return encoded(Packet(1, "tcp", target, 80), mac, source, target, "fe:00:00:00:00:01")


PUBLIC: Mapping[str, Pair] = {
    "ipv4 address": Pair(udp4(A, B4, "198.18.0.1", MARK), udp4(A, A4, "198.18.0.1", MARK)),
    "ipv4 address of the gateway": Pair(udp4(A, GATEWAY4, B4, MARK), UDP4),
    "ipv4 address of the metadata": Pair(udp4(A, METADATA, B4, MARK), UDP4),
    "ipv4 address of nobody": Pair(udp4(A, "0.0.0.0", B4, MARK), UDP4),
    "ipv4 private address": Pair(udp4(A, ALICE.private[0].ip, B4, MARK), UDP4),
    "ipv4 mac": Pair(udp4(B, A4, B4, MARK), UDP4),
    "ipv6 address": Pair(udp6(A, B6, "2001:db8:a000::1", MARK), udp6(A, A6, "2001:db8:a000::1", MARK)),
    "ipv6 address of the gateway": Pair(udp6(A, GATEWAY6, B6, MARK), udp6(A, LOCAL, GATEWAY6, MARK)),
    "ipv6 address of nobody": Pair(udp6(A, "::", B6, MARK), UDP6),
    "ipv6 mac": Pair(udp6(B, A6, B6, MARK), UDP6),
    "arp request": Pair(arp(A, B4), ARP),
    "arp reply": Pair(arp(A, B4, operation=2), arp(A, A4, operation=2)),
    "arp of the gateway": Pair(arp(A, GATEWAY4, operation=2), arp(A, A4, operation=2)),
    "arp announcement": Pair(arp(A, B4, target=B4), arp(A, A4, target=A4)),
    "arp probe": Pair(arp(A, "0.0.0.0", target=B4), arp(A, "0.0.0.0", target=A4)),
    "arp mac": Pair(arp(A, A4, sender_mac=B), ARP),
    "arp frame": Pair(arp(B, A4, sender_mac=A), ARP),
    "reverse arp": Pair(arp(A, A4, operation=4), ARP),
    "neighbour solicitation": Pair(advertisement(A, B6, GATEWAY6, 135), NS),
    "neighbour solicitation of nobody": Pair(advertisement(A, "::", B6, 135), advertisement(A, "::", A6, 135)),
    "neighbour advertisement": Pair(advertisement(A, LOCAL, B6), NA),
    "neighbour advertisement of the gateway": Pair(advertisement(A, LOCAL, GATEWAY6), advertisement(A, LOCAL, LOCAL)),
    "router advertisement": Pair(advertisement(A, LOCAL, "::", 134), advertisement(A, LOCAL, "::", 133)),
    "ipv6 redirect": Pair(advertisement(A, LOCAL, B6, 137), NS),
    "ipv4 redirect": Pair(icmp4(A, A4, B4, 5), icmp4(A, A4, B4, 8)),
    "ipv4 router advertisement": Pair(icmp4(A, A4, "224.0.0.1", 9), icmp4(A, A4, B4, 8)),
    "dhcp offer": Pair(udp4(A, A4, "255.255.255.255", MARK, (67, 68)), udp4(A, A4, B4, MARK, (68, 67))),
    "dhcpv6 offer": Pair(udp6(A, LOCAL, "ff02::1", MARK, (547, 546)), udp6(A, LOCAL, "ff02::1:2", MARK, (546, 547))),
    "vlan": Pair(tagged(UDP4), UDP4),
    "vlan of a provider": Pair(tagged(UDP6, 0x88A8), UDP6),
    "vlan in a vlan": Pair(tagged(tagged(UDP4), 0x88A8), UDP4),
    "arp in a vlan": Pair(tagged(ARP), ARP),
    "unknown ethertype": Pair(ethernet(A, MARK, 0x88B5), UDP4),
    "link layer discovery": Pair(ethernet(A, MARK, 0x88CC, "01:80:c2:00:00:0e"), UDP4),
    "spanning tree": Pair(ethernet(A, b"\x42\x42\x03" + MARK, 38, "01:80:c2:00:00:00"), UDP4),
    "metadata of a neighbour": Pair(syn(A, B4, METADATA), syn(A, A4, METADATA)),
}

P, Q = ALICE.private[0].mac, BOB.private[0].mac
P4, Q4 = ALICE.private[0].ip, BOB.private[0].ip
OTHER = "10.0.0.77"


def inside(frame: bytes) -> bytes:
    """To Bob's private port instead of the gateway."""
    return bytes.fromhex(Q.replace(":", "")) + frame[6:]


DATA, ASK = inside(udp4(P, P4, Q4, MARK)), arp(P, P4, target=Q4)

PRIVATE: Mapping[str, Pair] = {
    "ipv4 address": Pair(inside(udp4(P, OTHER, Q4, MARK)), DATA),
    "ipv4 address of the first of the network": Pair(inside(udp4(P, "10.0.0.1", Q4, MARK)), DATA),
    "ipv4 address of the world": Pair(inside(udp4(P, "198.18.0.1", Q4, MARK)), DATA),
    "ipv4 public address": Pair(inside(udp4(P, A4, Q4, MARK)), DATA),
    "ipv4 address of nobody": Pair(inside(udp4(P, "0.0.0.0", Q4, MARK)), DATA),
    "ipv4 mac": Pair(inside(udp4("06:00:00:00:00:4d", P4, Q4, MARK)), DATA),
    "ipv4 public mac": Pair(inside(udp4(A, P4, Q4, MARK)), DATA),
    "ipv6": Pair(inside(udp6(P, LOCAL, "fe80::2", MARK)), DATA),
    "ipv6 of its public port": Pair(inside(udp6(P, A6, B6, MARK)), DATA),
    "arp request": Pair(arp(P, OTHER, target=Q4), ASK),
    "arp reply": Pair(inside(arp(P, OTHER, target=Q4, operation=2)), inside(arp(P, P4, target=Q4, operation=2))),
    "arp announcement": Pair(arp(P, OTHER, target=OTHER), arp(P, P4, target=P4)),
    "arp probe": Pair(arp(P, "0.0.0.0", target=OTHER), arp(P, "0.0.0.0", target=P4)),
    "arp mac": Pair(arp(P, P4, sender_mac=Q, target=Q4), ASK),
    "arp frame": Pair(arp("06:00:00:00:00:4d", P4, sender_mac=P, target=Q4), ASK),
    "reverse arp": Pair(arp(P, P4, target=Q4, operation=4), ASK),
    "neighbour solicitation": Pair(advertisement(P, LOCAL, "fe80::2", 135), ASK),
    "neighbour advertisement": Pair(advertisement(P, LOCAL, "fe80::2"), ASK),
    "router advertisement": Pair(advertisement(P, LOCAL, "::", 134), ASK),
    "ipv4 redirect": Pair(inside(icmp4(P, P4, Q4, 5)), inside(icmp4(P, P4, Q4, 8))),
    "ipv4 router advertisement": Pair(inside(icmp4(P, P4, Q4, 9)), inside(icmp4(P, P4, Q4, 8))),
    "dhcp offer": Pair(
        ethernet(P, udp4(P, P4, "255.255.255.255", MARK, (67, 68))[14:], 0x0800, "ff:ff:ff:ff:ff:ff"),
        ethernet(P, udp4(P, P4, "255.255.255.255", MARK, (68, 69))[14:], 0x0800, "ff:ff:ff:ff:ff:ff"),
    ),
    "dhcp offer to one": Pair(inside(udp4(P, P4, Q4, MARK, (67, 68))), inside(udp4(P, P4, Q4, MARK, (53, 68)))),
    "vlan": Pair(tagged(DATA), DATA),
    "vlan of a provider": Pair(tagged(DATA, 0x88A8), DATA),
    "arp in a vlan": Pair(tagged(ASK), ASK),
    "unknown ethertype": Pair(ethernet(P, MARK, 0x88B5, Q), DATA),
    "spanning tree": Pair(ethernet(P, b"\x42\x42\x03" + MARK, 38, "01:80:c2:00:00:00"), DATA),
    "metadata of a neighbour": Pair(inside(syn(P, Q4, METADATA)), inside(ping4(P, P4, METADATA, MARK))),
}
