"""Two hosts of one region on one machine: network namespaces that a cable joins, each with ports of its own.

What FRR would tell one host of the other is told by the test: where frames for nobody known go (`introduce`).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from infra.domain.port_names import overlay_name
from infra.drivers.ports import HostNetwork, HostPorts
from tests.fix_netns import enter

T = TypeVar("T")
UNDERLAY = 9000


class NeighbourHost:
    """A host in a named namespace; its ports work in threads that were born there."""

    def __init__(self, number: int, mtu: int) -> None:
        self.namespace = f"host{number}-{os.getpid()}"
        self.vtep = f"10.255.0.{number}"
        self.ports = HostPorts(HostNetwork(vtep=self.vtep, vteps=("10.255.0.0/24",), private_mtu=mtu))

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name=self.namespace)
        self._thread.start()
        self.do(self.ports.open())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.begin(work).result(60)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def shell(self, script: str) -> str:
        argv = ("ip", "netns", "exec", self.namespace, "sh", "-c", script)
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def introduce(self, other: NeighbourHost, vni: int) -> None:
        self.shell(f"bridge fdb append 00:00:00:00:00:00 dev {overlay_name(vni)} dst {other.vtep}")

    def stop(self) -> None:
        self.do(self.ports.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _live(self) -> None:
        enter(f"/run/netns/{self.namespace}")
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


@pytest.fixture(params=[1450, 8950])
def two_hosts(private_network: None, request: pytest.FixtureRequest) -> Iterator[tuple[NeighbourHost, NeighbourHost]]:
    """Both have the private MTU that is the test's parameter."""
    hosts = NeighbourHost(1, request.param), NeighbourHost(2, request.param)
    with ExitStack() as undo:
        for host in hosts:
            _ip(f"netns add {host.namespace}")
            undo.callback(_ip, f"netns del {host.namespace}")
        _ip(f"link add up0 netns {hosts[0].namespace} type veth peer up0 netns {hosts[1].namespace}")
        for host in hosts:
            _ip(
                f"-n {host.namespace} link set lo up",
                f"-n {host.namespace} address add {host.vtep}/24 dev up0",
                f"-n {host.namespace} link set up0 up mtu {UNDERLAY}",
            )
            host.start()
            undo.callback(host.stop)
        yield hosts


def _ip(*lines: str) -> None:
    for line in lines:
        subprocess.run(("ip", *line.split()), check=True, capture_output=True)
