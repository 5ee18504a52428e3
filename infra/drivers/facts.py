"""What a host says of itself: the room that it offers, how busy it is, and what it is made of."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from infra.domain.models import HostReport, Resources
from infra.drivers.libvirtd import kvm_usable

RESERVE_MIB = 2048
"""Memory that is never offered: the host's own, and what QEMU takes beside its guests."""

GIB, MIB_IN_KIB = 2**30, 1024


class HostFacts:
    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._before = _cpu_times()

    async def capacity(self) -> Resources:
        disk = os.statvfs(self._storage)
        return Resources(
            cores=os.cpu_count() or 1,
            memory_mib=max(0, _memory_mib() - RESERVE_MIB),
            disk_gib=disk.f_blocks * disk.f_frsize // GIB,
        )

    async def report(self, host_id: int) -> HostReport:
        room = await self.capacity()
        return HostReport(
            host_id,
            room.cores,
            room.memory_mib,
            room.disk_gib,
            io_wait=self._io_wait(),
            driver="libvirt",
            facts={"kernel": platform.release(), "kvm": kvm_usable()},
        )

    def _io_wait(self) -> float:
        """The share of time since the last report that the processors waited for disks."""
        before, self._before = self._before, _cpu_times()
        passed = [now - then for now, then in zip(self._before, before, strict=True)]
        return min(1.0, max(0, passed[4]) / sum(passed)) if sum(passed) > 0 else 0.0  # the kernel's may go backwards


def _cpu_times() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal, in ticks since the boot (proc(5))."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _memory_mib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // MIB_IN_KIB
    return 0
