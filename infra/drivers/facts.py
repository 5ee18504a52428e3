"""What a host says of itself: the room that it offers and what of it is free, how busy it is, what it is made of.

psutil and libvirt know; both may block, so both are asked in a thread. Where libvirt does not answer, the rest is told
all the same, and the report names it as a problem.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from typing import Any

import psutil

from infra.domain.errors import HostFailure
from infra.domain.models import HostReport, Resources
from infra.drivers.layout import GIB, HostLayout, offered_gib
from infra.drivers.libvirt_connection import LibvirtConnection
from infra.drivers.libvirtd import kvm_usable
from infra.drivers.loads import WINDOW, Loads
from infra.drivers.threads import run

RESERVE_MIB = 2048
"""Memory that is never offered: the host's own, and what QEMU takes beside its guests."""

MIB = 2**20


class HostFacts:
    """``window``: seconds that the loads are measured over; `keep_looking` makes that so, whoever asks how often.
    ``cache``: says what is told of the image cache. ``hindrances``: says the report's."""

    def __init__(
        self,
        layout: HostLayout,
        uri: str,
        uplinks: Sequence[str] = (),
        window: float = WINDOW,
        cache: Callable[[], dict[str, Any]] = dict,
        hindrances: Callable[[], list[str]] = list,
    ) -> None:
        self._layout = layout
        self._cache = cache
        self._hindrances = hindrances
        self._loads = Loads(uplinks, window)
        self._libvirt = LibvirtConnection(uri)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="facts")

    async def capacity(self) -> Resources:
        return await run(self._threads, self._capacity)

    async def report(self, host_id: int) -> HostReport:
        return await run(self._threads, lambda: self._report(host_id))

    async def keep_looking(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._loads.pause)
            await run(self._threads, self._loads.look)

    async def close(self) -> None:
        await run(self._threads, self._libvirt.close)
        self._threads.shutdown(wait=False)

    def _capacity(self) -> Resources:
        return Resources(
            cores=os.cpu_count() or 1,
            memory_mib=max(0, psutil.virtual_memory().total // MIB - RESERVE_MIB),
            disk_gib=offered_gib(self._layout.root),
        )

    def _report(self, host_id: int) -> HostReport:
        room, busy = self._capacity(), self._loads.busy()
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._layout.root))
        hypervisor, problems = self._hypervisor()
        return HostReport(
            host_id,
            room.cores,
            room.memory_mib,
            room.disk_gib,
            free_memory_mib=min(room.memory_mib, max(0, memory.available // MIB - RESERVE_MIB)),
            free_disk_gib=min(room.disk_gib, max(0, disk.free // GIB - (disk.total // GIB - room.disk_gib))),
            cpu_busy=busy.cpu_busy,
            io_wait=busy.io_wait,
            net_saturation=busy.net_saturation,
            driver="libvirt",
            facts={
                "memory_total_mib": memory.total // MIB,
                "disk_total_gib": disk.total // GIB,
                "disk_promised_gib": self._promised_gib(),
                "kvm": kvm_usable(),
                "versions": {**versions(), **hypervisor},
                **self._cache(),
            },
            images=sorted(path.name for path in (self._layout.root / "images").iterdir()),
            links=busy.links,
            problems=problems,
            hindrances=self._hindrances(),
        )

    def _promised_gib(self) -> int:
        """What the servers' disks may grow to, however little is written by now."""
        promised = 0
        for path in (self._layout.root / "disks").iterdir():
            with suppress(FileNotFoundError):  # it was just removed
                promised += path.stat().st_size
        return promised // GIB

    def _hypervisor(self) -> tuple[dict[str, str], list[str]]:
        """Its versions, or what is the matter with it."""
        try:
            return self._libvirt.do(_hypervisor_versions), []
        except HostFailure:  # the connection has said in the log why
            return {}, ["libvirt does not answer"]


def versions() -> dict[str, str]:
    return {
        "puchify": metadata.version("puchify"),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _hypervisor_versions(connection: Any) -> dict[str, str]:
    """As the daemon says, which may be older than the library after an upgrade."""
    return {"libvirt": _version(connection.getLibVersion()), "qemu": _version(connection.getVersion())}


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
