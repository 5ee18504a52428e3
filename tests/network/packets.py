"""Packets between a server and the world, as values and as bytes, each with a mark that tells it from all others."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Literal

from tests.host.frames import checksum, ipv4, ipv6

Kind = Literal["tcp", "udp", "echo", "other icmp", "gre", "esp", "other"]
KINDS: tuple[Kind, ...] = ("tcp", "udp", "echo", "other icmp", "gre", "esp", "other")
MARK = re.compile(rb"<(\d{6})>")
NUMBERS: dict[Kind, tuple[int, int]] = {
    "tcp": (6, 6),
    "udp": (17, 17),
    "echo": (1, 58),
    "other icmp": (1, 58),
    "gre": (47, 47),
    "esp": (50, 50),
    "other": (253, 253),  # RFC 3692: for experiments
}
ICMP: dict[Kind, tuple[int, int]] = {"echo": (8, 128), "other icmp": (13, 139)}
"""What may begin a conversation, in the eyes of connection tracking: echo; timestamp and node information."""


@dataclass(frozen=True, slots=True)
class Packet:
    """``remote``: the end that is not the server, whichever way it goes."""

    number: int
    kind: Kind
    remote: str
    port: int = 0
    """The destination's; the source's is the packet's own."""

    @property
    def version(self) -> int:
        return ip_address(self.remote).version

    def __str__(self) -> str:
        return f"{self.kind} {self.remote} port {self.port} <{self.number:06}>"


def encoded(packet: Packet, mac: str, source: str, target: str, to: str) -> bytes:
    """As an Ethernet frame, every checksum right."""
    six = packet.version == 6
    protocol, body = NUMBERS[packet.kind][six], _body(packet, six)
    at = {"tcp": 16, "udp": 6, "echo": 2, "other icmp": 2}.get(packet.kind)
    if six:
        return ipv6(mac, source, target, protocol, body, at, to)
    if packet.kind in ("tcp", "udp"):
        pseudo = IPv4Address(source).packed + IPv4Address(target).packed + struct.pack("!HH", protocol, len(body))
        assert at is not None
        body = body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]
        at = None
    return ipv4(mac, source, target, protocol, body, at, to)


def marks(frames: Iterable[bytes]) -> set[int]:
    return {int(found[1]) for frame in frames if (found := MARK.search(frame))}


def _body(packet: Packet, six: bool) -> bytes:
    mark = f"<{packet.number:06}>".encode()
    source = 20_000 + packet.number % 40_000
    if packet.kind == "tcp":
        return struct.pack("!HHIIBBHHH", source, packet.port, packet.number, 0, 5 << 4, 2, 1000, 0, 0) + mark  # SYN
    if packet.kind == "udp":
        return struct.pack("!HHHH", source, packet.port, 8 + len(mark), 0) + mark
    if packet.kind in ICMP:
        return struct.pack("!BBHHH", ICMP[packet.kind][six], 0, 0, packet.number % 2**16, 1) + mark.ljust(20)
    if packet.kind == "gre":
        return struct.pack("!HH", 0, 0x6558) + mark
    return struct.pack("!II", packet.number, 1) + mark
