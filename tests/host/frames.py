"""The guest's end of a tap, without a guest: Ethernet frames out of nothing but the standard library.

Only what the tests send: UDP and pings of both families, ARP, neighbour and router advertisements, any field forged.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Self

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
VNET_HEADER = bytes(10)  # nothing offloaded
GATEWAY_MAC = "fe:00:00:00:00:01"


class GuestEnd:
    """The file descriptor that QEMU would hold: what is written here, the host receives on the tap."""

    def __init__(self, tap: str) -> None:
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self._fd, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))

    def send(self, frame: bytes) -> None:
        os.write(self._fd, VNET_HEADER + frame.ljust(60, b"\0"))

    def received(self, marker: bytes, patience: float = 1.0) -> bool:
        """Whether a frame with ``marker`` in it arrives within ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0] and marker in os.read(self._fd, 65536):
                return True
        return False

    def until(self, marker: bytes, patience: float = 5.0) -> list[bytes]:
        """The frames that arrive, up to the first with ``marker`` in it. TimeoutError: there is none."""
        frames, deadline = list[bytes](), time.monotonic() + patience
        while not (frames and marker in frames[-1]):
            if not select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"nothing with {marker!r} in it arrives")
            frames.append(os.read(self._fd, 65536)[len(VNET_HEADER) :])
        return frames

    def pending(self) -> list[bytes]:
        """The frames that have arrived."""
        frames = []
        with suppress(BlockingIOError):
            while True:
                frames.append(os.read(self._fd, 65536)[len(VNET_HEADER) :])
        return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)


def ethernet(source: str, payload: bytes, kind: int, to: str = GATEWAY_MAC) -> bytes:
    return _mac(to) + _mac(source) + struct.pack("!H", kind) + payload


def udp4(mac: str, source: str, target: str, marker: bytes, ports: tuple[int, int] = (1000, 9)) -> bytes:
    return ipv4(mac, source, target, 17, struct.pack("!HHHH", *ports, 8 + len(marker), 0) + marker)  # 0: no checksum


def ping4(mac: str, source: str, target: str, marker: bytes, to: str = GATEWAY_MAC) -> bytes:
    return ipv4(mac, source, target, 1, struct.pack("!BBHHH", 8, 0, 0, 1, 1) + marker, checksum_at=2, to=to)


def udp6(mac: str, source: str, target: str, marker: bytes, ports: tuple[int, int] = (1000, 9)) -> bytes:
    body = struct.pack("!HHHH", *ports, 8 + len(marker), 0) + marker
    return ipv6(mac, source, target, 17, body, checksum_at=6)


def ping6(mac: str, source: str, target: str, marker: bytes) -> bytes:
    return ipv6(mac, source, target, 58, struct.pack("!BBHHH", 128, 0, 0, 1, 1) + marker, checksum_at=2)


def advertisement(mac: str, source: str, target: str, kind: int = 136) -> bytes:
    """A neighbour advertisement (136) for ``target``; kind 134 makes it a router advertisement."""
    body = struct.pack("!BBHI", kind, 0, 0, 0x20000000) + IPv6Address(target).packed + b"\x02\x01" + _mac(mac)
    return ipv6(mac, source, "ff02::1", 58, body, checksum_at=2)


def arp(mac: str, sender: str, sender_mac: str | None = None, target: str = "172.31.1.1", operation: int = 1) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + _mac(sender_mac or mac) + IPv4Address(sender).packed
    return ethernet(mac, body + bytes(6) + IPv4Address(target).packed, 0x0806, to="ff:ff:ff:ff:ff:ff")


def ipv4(
    mac: str,
    source: str,
    target: str,
    protocol: int,
    body: bytes,
    checksum_at: int | None = None,
    to: str = GATEWAY_MAC,
) -> bytes:
    """``checksum_at``: where the body keeps a checksum of itself."""
    if checksum_at is not None:
        body = _with_checksum(body, checksum_at, checksum(body))
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    header += IPv4Address(source).packed + IPv4Address(target).packed
    return ethernet(mac, _with_checksum(header, 10, checksum(header)) + body, 0x0800, to)


def ipv6(
    mac: str,
    source: str,
    target: str,
    protocol: int,
    body: bytes,
    checksum_at: int | None = None,
    to: str = GATEWAY_MAC,
) -> bytes:
    """``checksum_at``: where the body keeps a checksum of itself and of the pseudo header."""
    addresses = IPv6Address(source).packed + IPv6Address(target).packed
    if checksum_at is not None:
        pseudo = addresses + struct.pack("!II", len(body), protocol)
        body = _with_checksum(body, checksum_at, checksum(pseudo + body))
    return ethernet(mac, struct.pack("!IHBB", 6 << 28, len(body), protocol, 255) + addresses + body, 0x86DD, to)


def _with_checksum(data: bytes, at: int, checksum: int) -> bytes:
    return data[:at] + struct.pack("!H", checksum) + data[at + 2 :]


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
