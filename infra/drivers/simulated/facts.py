"""What a simulated host says of itself: what its file says. Guests that are only simulated use nothing really."""

from __future__ import annotations

import asyncio
import platform
from importlib import metadata

from infra.domain.models import HostReport, Resources
from infra.drivers.simulated.body import Body


class SimulatedFacts:
    def __init__(self, body: Body) -> None:
        self.body = body

    async def report(self, host_id: int) -> HostReport:
        async with self.body.faults.around("facts.report"):
            await asyncio.sleep(self.body.latencies.look)
            room, load = self.body.settings.capacity(), self.body.settings.load()
            return HostReport(
                host_id=host_id,
                cores=room.cores,
                memory_mib=room.memory_mib,
                disk_gib=room.disk_gib,
                free_memory_mib=room.memory_mib,
                free_disk_gib=room.disk_gib,
                cpu_busy=load.cpu_busy,
                io_wait=load.io_wait,
                net_saturation=load.net_saturation,
                driver="simulated",
                facts={
                    "memory_total_mib": room.memory_mib,
                    "disk_total_gib": room.disk_gib,
                    "disk_promised_gib": self._sum("SELECT coalesce(sum(size_gib), 0) FROM disks"),
                    "versions": {"puchify": metadata.version("puchify"), "python": platform.python_version()},
                },
                images=[row[0] for row in self.body.db.execute("SELECT digest FROM images WHERE done ORDER BY digest")],
            )

    async def capacity(self) -> Resources:
        async with self.body.faults.around("facts.capacity"):
            await asyncio.sleep(self.body.latencies.look)
            return self.body.settings.capacity()

    def _sum(self, query: str) -> int:
        return int(self.body.db.execute(query).fetchone()[0])
