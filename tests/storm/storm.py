"""One storm: fifty clients at work, every kind of process killed in turn, then calm, and the verdict."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infra.db.built_images import NewImage, register_image
from infra.domain.models import Resources
from infra.drivers.simulated import ABSENT_DIGEST, Latencies
from tests.fix_deployment import Deployment, free_url
from tests.fix_region import Region, eventually, open_region, region_settings
from tests.fix_stack import Stack
from tests.storm.killer import Killer
from tests.storm.lives import Client, Life
from tests.storm.report import Report
from tests.storm.verdict import newest_server, unsettled, wrongs_of

CLIENTS = 50
BOOT = 8.0
"""Seconds a guest takes: fifty clients then have most of their creates under way at any moment."""
FACTOR = 0.5
"""Of all timeouts: a storm is a busy time, and shorter ones would give up what only waits for its turn."""
CALM_WITHIN = 400.0
"""Seconds from the last blow until nothing goes on any more: beyond the deadline of a create, and its undo."""
ROOM = Resources(cores=256, memory_mib=262_144, disk_gib=20_000)


@asynccontextmanager
async def deployed(stack: Stack, directory: Path) -> AsyncIterator[Deployment]:
    """Three hosts, two region workers and two APIs at work, on clusters that may be killed."""
    settings = region_settings(stack.books, stack.temporal, directory)
    latencies = Latencies(boot=BOOT)
    region_of_three = open_region(
        settings, directory, 3, workers=False, latencies=latencies, room=ROOM, rest=5, patience=100
    )
    async with region_of_three as region:
        await _furnish(region)
        urls, times = [free_url(), free_url()], {"TIMEOUT_FACTOR": FACTOR}
        deployment = Deployment(region, stack.supervisor, directory, urls, region_workers=2, settings=times)
        await deployment.start()
        yield deployment


async def _furnish(region: Region) -> None:
    """What dooms an order: a server type beyond every quota, and an image that no store has."""
    await region.execute(
        "INSERT INTO server_types (name, description, cores, memory_mib, disk_gib) VALUES ('huge', '', 1, 5000000, 1)"
    )
    await region.set_quota(max_servers=1000, max_cores=1000)
    async with region.pool.connection() as connection:
        await register_image(connection, NewImage("absent", ABSENT_DIGEST, 1, "", has_agent=True))


@dataclass
class Storm:
    deployment: Deployment
    stack: Stack
    seed: str
    spared: frozenset[str] = frozenset()

    async def rage(self, turns: int) -> Report:
        """In each turn every kind of process is killed once; then everybody finishes, and all is cleared away."""
        began, newest = time.monotonic(), await newest_server(self.deployment.region)
        killer = Killer(self.deployment, self.stack, random.Random(self.seed), self.spared)
        headers = {"Authorization": f"Bearer {self.deployment.region.token}"}
        async with httpx.AsyncClient(headers=headers, timeout=60, limits=httpx.Limits()) as http:
            client = Client(self.deployment, http, BOOT, Counter())
            lives, calm_since = await self._under_way(client, killer.rage(turns))
            survivors = [life.server_id for life in lives if life.outcome == "runs" and life.server_id]
            wrongs = killer.wrongs + await self._calm(survivors)
            calm_after = time.monotonic() - calm_since
            wrongs += await wrongs_of(self.deployment.region, lives, newest)
            await asyncio.gather(*(client.delete(server_id) for server_id in survivors))
            wrongs += await self._calm([])
        seconds = time.monotonic() - began
        return Report(self.seed, seconds, calm_after, killer.back_after, lives, client.unanswered, wrongs)

    async def _under_way(self, client: Client, storm: Coroutine[Any, Any, None]) -> tuple[list[Life], float]:
        """Every client begins one life after the other while the storm lasts; all lives, and when it ended."""
        lives: list[Life] = []

        async def lead(number: int) -> None:
            await asyncio.sleep(number * BOOT / CLIENTS)
            for nth in itertools.count(1):
                lives.append(await client.live(f"s{self.seed}-{number}-{nth}", f"{self.seed}-{number}-{nth}"))
                if raging.done():
                    return

        async with asyncio.TaskGroup() as clients:
            raging = asyncio.create_task(storm)
            for number in range(CLIENTS):
                clients.create_task(lead(number))
            await raging
            calm_since = time.monotonic()
            for host in self.deployment.region.hosts.values():
                host.clear()
        return lives, calm_since

    async def _calm(self, kept: list[int]) -> list[str]:
        """What is still not settled after all the time that it may take."""
        region = self.deployment.region

        async def settled() -> bool:
            return not await unsettled(region, kept)

        try:
            await eventually(settled, CALM_WITHIN, every=0.5)
        except TimeoutError:
            return await unsettled(region, kept)
        return []
