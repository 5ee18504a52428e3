"""Network namespaces as guests: each behind a port of its own, with the routes that a seed would give it.

The port is a veth under a tap's name, so that no firewall stands between: what is tested is whose question it is.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from infra.domain.models import server_mac
from infra.domain.port_names import tap_name

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Namespace:
    """``ipv4``: None for a guest that has link-local IPv6 alone."""

    name: str
    server_id: int
    ipv4: str | None

    def runs(self, *command: str) -> str:
        done = subprocess.run(self.inside(*command), check=True, capture_output=True, text=True)
        return done.stdout

    def inside(self, *command: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name, *command)

    async def asks(self, path: str, *options: str, of: str = "169.254.169.254") -> tuple[int, bytes]:
        """Status (0: none came) and body. ``options``: curl's."""
        command = self.inside("curl", "-sg", "-m", "15", "-w", "%{stderr}%{http_code}", *options, f"http://{of}{path}")
        curl = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        body, status = await curl.communicate()
        return int(status), body


NewGuest = Callable[..., Namespace]


@pytest.fixture
def new_guest(private_network: None) -> Iterator[NewGuest]:
    """``new_guest(server_id, ipv4="10.77.0.5")``."""
    made: list[Namespace] = []

    def make(server_id: int, ipv4: str | None = None) -> Namespace:
        guest = Namespace(f"guest-{os.getpid()}-{next(NUMBERS)}", server_id, ipv4)
        made.append(guest)
        subprocess.run(("ip", "netns", "add", guest.name), check=True)
        plug_in(guest)
        return guest

    yield make
    for guest in made:
        unplug(guest)  # a namespace ends later than its name
        subprocess.run(("ip", "netns", "del", guest.name), check=True)


def plug_in(guest: Namespace) -> None:
    """A port and its NIC; after `unplug` another one of the same names."""
    tap, mac = tap_name(guest.server_id), server_mac(guest.server_id)
    peer = ("peer", "name", "eth0", "netns", guest.name, "address", mac)
    ip("link", "add", tap, "address", "fe:00:00:00:00:01", "type", "veth", *peer)
    ip("link", "set", tap, "addrgenmode", "none", "up")
    ip("addr", "add", "fe80::1/64", "dev", tap, "nodad")
    ip("addr", "add", "172.31.1.1/32", "dev", tap)
    inside = ["link set lo up", "link set eth0 up"]
    if guest.ipv4:
        ip("route", "add", f"{guest.ipv4}/32", "dev", tap)
        inside += [f"addr add {guest.ipv4}/32 dev eth0", "route add 172.31.1.1 dev eth0"]
        inside += [f"route add default via 172.31.1.1 dev eth0 src {guest.ipv4}"]
    guest.runs("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
    ip("-n", guest.name, "-batch", "-", given="\n".join(inside) + "\n")


def unplug(guest: Namespace) -> None:
    ip("link", "del", tap_name(guest.server_id))


def ip(*arguments: str, given: str | None = None) -> None:
    subprocess.run(("ip", *arguments), check=True, input=given, text=True)
