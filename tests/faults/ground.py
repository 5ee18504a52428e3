"""The ground: a region at work, with the saboteur in its workers, and the API that its hosts and its owner ask.

One for all cells that need no process of their own; those that kill a worker have a location to themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
from temporalio.service import RPCError

import workers.edge
import workers.host
import workers.region
from infra.config import Settings
from infra.domain.errors import Unavailable
from infra.domain.models import Resources
from infra.drivers.simulated import Latencies
from infra.temporal.names import audit_id, care_id, sweep_id
from tests.edge.regional import KnownEdge
from tests.faults.process import Mortal, enlisted, living
from tests.faults.sabotage import WAYS
from tests.faults.saboteur import Saboteur
from tests.faults.surroundings import served, surrounded
from tests.fix_api import serving
from tests.fix_region import NewRegion, Region, eventually, host_key

PLENTY = 1_000_000
ROOM = Resources(cores=PLENTY, memory_mib=PLENTY, disk_gib=PLENTY)
REST = 10.0  # seconds: long enough for what comes late, short enough for a pool of 254
Run = Callable[[Settings, asyncio.Event], Awaitable[None]]


@dataclass(frozen=True)
class Battlefield:
    """What all grounds of a test share."""

    new_region: NewRegion
    saboteur: Saboteur
    url: str
    edges: dict[str, KnownEdge] = field(default_factory=dict)
    """By location."""

    @asynccontextmanager
    async def region(self, hosts: int) -> AsyncIterator[Region]:
        """A region whose workers do not work yet."""
        async with self.new_region(hosts, workers=False, latencies=Latencies(), room=ROOM, rest=REST) as region:
            await region.set_quota(
                **dict.fromkeys(("max_servers", "max_cores", "max_memory_mib", "max_disk_gib"), PLENTY)
            )
            async with self.owner(region) as http, surrounded(region, http) as edge:
                self.edges[region.location] = edge
                yield region

    @asynccontextmanager
    async def at_work(self, region: Region, mortals: Sequence[Mortal] = ()) -> AsyncIterator[None]:
        """The region's workers, in this process but for those that are going to be killed."""
        elsewhere = {(mortal.role, mortal.settings.host_id) for mortal in mortals}
        async with AsyncExitStack() as stack:
            for mortal in mortals:
                await stack.enter_async_context(living(mortal))
            ours = self.region_settings(region)
            if ("region", ours.host_id) not in elsewhere:
                await stack.enter_async_context(_working(workers.region.run_region, ours))
            ours = self.edge_settings(region)
            if ("edge", ours.host_id) not in elsewhere:
                await stack.enter_async_context(_working(workers.edge.run_edge, ours))
            for ours in (self.host_settings(region, host_id) for host_id in region.hosts):
                if ("host", ours.host_id) not in elsewhere:
                    await stack.enter_async_context(_working(workers.host.run_host, ours))
            await eventually(lambda: _follows(region))  # a step is not left in the queue of an edge for long
            yield
        for schedule in (sweep_id(region.location), audit_id(region.location), care_id(region.location)):
            with suppress(RPCError):
                await region.client.get_schedule_handle(schedule).delete()

    def region_settings(self, region: Region) -> Settings:
        return region.settings.model_copy(update={"sweep_after": 0})

    def host_settings(self, region: Region, host_id: int) -> Settings:
        mine = {
            "host_id": host_id,
            "host_key": host_key(region, host_id),
            "host_path": region.hosts[host_id].path.parent,
            "internal_url": self.url,
        }
        return region.settings.model_copy(update=mine)

    def edge_settings(self, region: Region) -> Settings:
        edge = self.edges[region.location]
        return region.settings.model_copy(update={"edge_id": edge.id, "edge_key": edge.key, "internal_url": self.url})

    @asynccontextmanager
    async def owner(self, region: Region) -> AsyncIterator[httpx.AsyncClient]:
        """The API, asked with the key of the region's project."""
        headers = {"Authorization": f"Bearer {region.token}"}
        async with httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=200) as http:
            yield http


@asynccontextmanager
async def battlefield(new_region: NewRegion) -> AsyncIterator[Battlefield]:
    saboteur = Saboteur(WAYS)
    with enlisted(saboteur):
        async with new_region(0, workers=False) as region, serving(region.settings) as url:
            yield Battlefield(new_region, saboteur, url)


async def _follows(region: Region) -> bool:
    return await served(region) is not None


@asynccontextmanager
async def _working(run: Run, settings: Settings) -> AsyncIterator[None]:
    """A worker in this process; started again when it cannot begin, as its supervisor would."""
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            try:
                await run(settings, stop)
            except Unavailable:
                await asyncio.sleep(1)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        stop.set()
        await task
