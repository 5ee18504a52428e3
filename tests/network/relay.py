"""A guest without a machine: a fresh network namespace whose interfaces are wired to a host's taps, as QEMU wires them.

    relay.py TAP INTERFACE MAC MTU [TAP INTERFACE MAC MTU]...

Runs in the host's namespace and opens its taps there, then makes the guest's and moves into it: the namespace is this
process's, and gone with it. Says "ready" and relays until its standard input ends. The standard library alone, so that
it starts at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF, SIOCSIFHWADDR, SIOCSIFMTU, SIOCSIFFLAGS = 0x400454CA, 0x8924, 0x8922, 0x8914
IFF_UP, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x0002, 0x1000, 0x4000
LARGEST, BURST = 70_000, 64


def main(words: list[str]) -> None:
    nics = [words[at : at + 4] for at in range(0, len(words), 4)]
    hosts = [opened(tap) for tap, _, _, _ in nics]
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    guests = [opened(interface) for _, interface, _, _ in nics]
    bring_up("lo")
    for _, interface, mac, mtu in nics:
        prepare(interface, mac, int(mtu))
    print("ready", flush=True)
    relay({one: other for pair in zip(hosts, guests, strict=True) for one, other in (pair, pair[::-1])})


def opened(name: str) -> int:
    """With the header of virtio: what one end leaves to the other (checksums) is passed on as it is."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return tap


def prepare(interface: str, mac: str, mtu: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        address = struct.pack("16sH6s16x", interface.encode(), 1, bytes.fromhex(mac.replace(":", "")))
        fcntl.ioctl(asked, SIOCSIFHWADDR, address)
        fcntl.ioctl(asked, SIOCSIFMTU, struct.pack("16si20x", interface.encode(), mtu))
    bring_up(interface)


def bring_up(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack("16sH22x", interface.encode(), IFF_UP))


def relay(other_end: dict[int, int]) -> None:
    waiting = select.epoll()
    waiting.register(sys.stdin.fileno(), select.EPOLLIN)
    for end in other_end:
        waiting.register(end, select.EPOLLIN)
    while True:
        for end, _ in waiting.poll():
            if end not in other_end:
                return  # nobody is left who wants a guest
            pass_on(end, other_end[end])


def pass_on(end: int, other: int) -> None:
    for _ in range(BURST):
        try:
            frame = os.read(end, LARGEST)
        except OSError:
            return  # nothing more, or the device is down or gone
        try:
            os.write(other, frame)
        except OSError:
            continue  # lost, as on any wire


if __name__ == "__main__":
    main(sys.argv[1:])
