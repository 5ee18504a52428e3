"""Guests that are network namespaces behind real taps: as many as a test wants, each of them at once.

Whoever owns the taps (the ports of a host, or a test) has made them before. A guest has the addresses and routes of its
port plan, as its seed would give them. Nothing outlives the test: a guest's namespace is its relay's.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import pytest

from infra.domain.port_names import private_tap_name, tap_name
from infra.domain.port_plan import PortPlan
from infra.domain.seed import GATEWAY4, GATEWAY6

RELAY = Path(__file__).with_name("relay.py")
CLONE_NEWNET = 0x40000000
T = TypeVar("T")


@dataclass(frozen=True)
class Nic:
    """``interface``: its name in the guest."""

    tap: str
    interface: str
    mac: str
    mtu: int = 1500


class Guest:
    """``host``: the named network namespace of its host; None: this process's."""

    def __init__(self, nics: list[Nic], host: str | None = None) -> None:
        words = [word for nic in nics for word in (nic.tap, nic.interface, nic.mac, str(nic.mtu))]
        into = ("nsenter", f"--net=/run/netns/{host}") if host else ()
        argv = (*into, sys.executable, "-S", "-E", str(RELAY), *words)
        self._relay = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._relay.stdout is not None
        if self._relay.stdout.readline() != b"ready\n":
            self.stop()
            raise RuntimeError(f"no guest behind {', '.join(nic.tap for nic in nics)}")
        self._threads = ThreadPoolExecutor(4, initializer=self._enter)

    @property
    def namespace(self) -> str:
        return f"/proc/{self._relay.pid}/ns/net"

    def run(self, *command: str, stdin: str = "") -> str:
        """The output of a command in the guest. CalledProcessError: it failed."""
        argv = ("nsenter", f"--net={self.namespace}", *command)
        return subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True).stdout

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command in the guest that goes on; the caller ends it."""
        return subprocess.Popen(("nsenter", f"--net={self.namespace}", *command), stdout=subprocess.PIPE)

    def do(self, work: Callable[[], T]) -> T:
        """``work`` in a thread in the guest; the sockets that it opens are the guest's, whoever uses them later."""
        return self._threads.submit(work).result()

    def configure(self, *lines: str) -> None:
        """Lines for ``ip -batch``."""
        self.run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    def stop(self) -> None:
        """As a machine that is destroyed: the taps lose their carrier, and stay."""
        if executor := getattr(self, "_threads", None):
            executor.shutdown(wait=False)
        self._relay.kill()
        self._relay.wait()
        for pipe in (self._relay.stdin, self._relay.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _enter(self) -> None:
        namespace = os.open(self.namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(namespace)


@dataclass
class Guests:
    """All guests of one test."""

    _guests: list[Guest] = field(default_factory=list)

    def behind(self, *nics: Nic, host: str | None = None) -> Guest:
        """One without addresses."""
        guest = Guest(list(nics), host)
        self._guests.append(guest)
        return guest

    def of(self, plan: PortPlan, host: str | None = None, mtu: int = 1450) -> Guest:
        """One with the ports of the plan: eth0, and eth1 and so on in its networks, with their ``mtu``."""
        nics = [Nic(tap_name(plan.server_id), "eth0", plan.public.mac)]
        for number, port in enumerate(plan.private, 1):
            nics.append(Nic(private_tap_name(port.member_id), f"eth{number}", port.mac, mtu))
        guest = self.behind(*nics, host=host)
        guest.configure(*addresses_of(plan))
        return guest

    def stop(self) -> None:
        for guest in self._guests:
            guest.stop()


def addresses_of(plan: PortPlan) -> Iterator[str]:
    """As lines for ``ip -batch``."""
    if plan.public.ipv4:
        yield f"address add {plan.public.ipv4}/32 dev eth0"
        yield f"route add default via {GATEWAY4} dev eth0 onlink"
    if plan.public.ipv6_network:
        yield f"address add {ip_network(plan.public.ipv6_network)[1]}/64 dev eth0 nodad"
        yield f"route add ::/0 via {GATEWAY6} dev eth0"
    for number, port in enumerate(plan.private, 1):
        yield f"address add {port.ip}/{ip_network(port.ip_range).prefixlen} dev eth{number}"
        for alias in port.aliases:
            yield f"address add {alias}/32 dev eth{number}"
        for route in port.routes:
            yield f"route add {route.destination} via {route.gateway} dev eth{number}"


@pytest.fixture
def guests(private_network: None) -> Iterator[Guests]:
    guests = Guests()
    yield guests
    guests.stop()
