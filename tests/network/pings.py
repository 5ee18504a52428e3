"""Pings of guests, without a program for them."""

from __future__ import annotations

import secrets
import socket
import struct
import time
from functools import partial

from tests.network.fix_guests import Guest

IP_MTU_DISCOVER, DO_NOT_FRAGMENT, HEADERS = 10, 2, 28
"""linux/in.h, and the bytes of IPv4 and ICMP."""


def reaches(guest: Guest, address: str, source: str = "", packet: int = 84, patience: float = 1.0) -> bool:
    """Whether an echo comes back, through one way or another. ``packet``: bytes, which nobody may take apart."""
    return guest.do(partial(_echo, address, source, packet, patience))


def _echo(address: str, source: str, packet: int, patience: float) -> bool:
    mark = secrets.token_bytes(8)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as link:
        link.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, DO_NOT_FRAGMENT)
        link.bind((source, 0))
        deadline = time.monotonic() + patience
        link.sendto(_request(mark.ljust(packet - HEADERS, b"x")), (address, 0))
        while (left := deadline - time.monotonic()) > 0:
            link.settimeout(left)
            try:
                answer = link.recv(70_000)
            except OSError:
                return False
            if answer[20] == 0 and mark in answer:
                return True
    return False


def _request(data: bytes) -> bytes:
    header = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
    total = sum(struct.unpack(f"!{(8 + len(data)) // 2}H", (header + data)[: (8 + len(data)) // 2 * 2]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, 7, 1) + data
