"""What a host says of itself: the room that it offers, how busy it is, and what it is made of."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import libvirt

from infra.domain.models import HostReport, Resources
from infra.drivers.layout import offered_gib
from infra.drivers.libvirtd import kvm_usable

RESERVE_MIB = 2048
"""Memory that is never offered: the host's own, and what QEMU takes beside its guests."""

MIB_IN_KIB = 1024
BITS_OF_MBIT = 1_000_000


class HostFacts:
    def __init__(self, storage: Path, uplinks: Sequence[str] = ()) -> None:
        self._storage = storage
        self._uplinks = tuple(uplinks)
        self._before = _cpu_times()
        self._sent_before, self._looked = _bits(self._uplinks), time.monotonic()

    async def capacity(self) -> Resources:
        return Resources(
            cores=os.cpu_count() or 1,
            memory_mib=max(0, _memory_mib() - RESERVE_MIB),
            disk_gib=offered_gib(self._storage),
        )

    async def report(self, host_id: int) -> HostReport:
        room = await self.capacity()
        return HostReport(
            host_id,
            room.cores,
            room.memory_mib,
            room.disk_gib,
            io_wait=self._io_wait(),
            net_saturation=self._net_saturation(),
            driver="libvirt",
            facts={"kernel": platform.release(), "kvm": kvm_usable(), "libvirt": _version(libvirt.getVersion())},
        )

    def _io_wait(self) -> float:
        """The share of time since the last report that the processors waited for disks."""
        before, self._before = self._before, _cpu_times()
        passed = [now - then for now, then in zip(self._before, before, strict=True)]
        return min(1.0, max(0, passed[4]) / sum(passed)) if sum(passed) > 0 else 0.0  # the kernel's may go backwards

    def _net_saturation(self) -> float:
        """The busiest uplink's busier direction since the last report, as a share of its speed."""
        before, since = self._sent_before, self._looked
        self._sent_before, self._looked = _bits(self._uplinks), time.monotonic()
        shares = [0.0]
        for uplink, now in self._sent_before.items():
            if (speed := _speed(uplink)) and uplink in before:
                moved = max(here - there for here, there in zip(now, before[uplink], strict=True))
                shares.append(moved / max(self._looked - since, 0.001) / speed)
        return min(1.0, max(shares))


def _bits(interfaces: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Bits received and sent by each of the interfaces that are there."""
    lines = (line.partition(":") for line in Path("/proc/net/dev").read_text().splitlines())
    counters = {name.strip(): told.split() for name, _, told in lines}
    return {name: (int(told[0]) * 8, int(told[8]) * 8) for name in interfaces if (told := counters.get(name))}


def _speed(interface: str) -> int:
    """Bits a second; 0 where nobody knows: virtual links, and those without carrier."""
    with suppress(OSError, ValueError):
        return max(0, int(Path(f"/sys/class/net/{interface}/speed").read_text())) * BITS_OF_MBIT
    return 0


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _cpu_times() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal, in ticks since the boot (proc(5))."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _memory_mib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // MIB_IN_KIB
    return 0
