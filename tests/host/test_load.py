"""A host that gets busy stops being chosen within two reports, and comes back: real load, really measured.

One host is real, with a busy loop on every processor and a disk writer beside its worker; the others are simulated, as
big, and so busy that the real one is better while the machine is not exhausted. The reports' period and the window
that they measure are shorter than in life, and as long as each other, as in life.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from activities.placement import Placements
from infra.db.placement_inputs import Notes
from infra.db.warm_hosts import WarmHosts
from infra.domain.models import PlacementRequest
from infra.drivers.facts import HostFacts
from infra.drivers.layout import HostLayout
from infra.drivers.protocols import Host
from infra.drivers.simulated import SimulatedHost
from tests.fix_region import NewRegion, Region, eventually, working_host
from tests.host.fix_host import RealHost
from workers.reports import Reports

PERIOD = 6.0  # seconds: of reports, and of what they measure
OTHERS_ARE_BUSY = 0.93
"""The real host is worse than that only when the machine is at its end."""
SOON = 240
"""Seconds that whoever else works on this machine may keep it from being calm."""

LOOP = "while True: pass"
WRITER = """
import os, sys
with open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.seek(0)
        file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
"""


@dataclass
class Ground:
    """``real``: the real host's id, which reports by itself. ``others`` report when it is placed."""

    region: Region
    placements: Placements
    real: int
    others: list[Reports]

    async def next_report(self, after: object) -> dict[str, object]:
        """The real host's first one after that moment of the books' clock."""
        told = "SELECT reported, cpu_busy, io_wait FROM hosts WHERE id = %s AND reported IS DISTINCT FROM %s"
        found: dict[str, object] = await eventually(lambda: self.region.one(told, self.real, after), SOON)
        return found

    async def chosen(self) -> int:
        """The host that an order gets now; it is given back."""
        for other in self.others:
            await other.tell()
        request = PlacementRequest(await self.region.order())
        claim = await self.placements.place_server(request)
        await self.placements.release_claim(request)
        return claim.host_id

    async def reports_until(self, chosen: bool, most: int) -> int:
        """How many reports it takes until the real host is chosen, or is not any more; each is shown."""
        row = await self.region.one("SELECT reported FROM hosts WHERE id = %s", self.real)
        assert row is not None
        after = row["reported"]
        for number in range(1, most + 1):
            told = await self.next_report(after)
            after = told["reported"]
            is_chosen = await self.chosen() == self.real
            print(f"report {number}: busy {told['cpu_busy']:.2f}, waiting {told['io_wait']:.2f}, chosen: {is_chosen}")
            if is_chosen == chosen:
                return number
        raise AssertionError(f"not within {most} reports")


@pytest.mark.timeout(900)
async def test_a_host_that_gets_busy_is_left_alone_and_comes_back(
    new_region: NewRegion, real_host: RealHost, hands: Host, tmp_path: Path
) -> None:
    async with new_region(3, workers=False) as region, ground(region, real_host, hands) as here:
        calm = await here.reports_until(chosen=True, most=round(SOON / PERIOD))

        with load(real_host.options.root / "written"):
            left = await here.reports_until(chosen=False, most=2)
        back = await here.reports_until(chosen=True, most=round(SOON / PERIOD))

        print(f"chosen at report {calm}, left alone after {left} reports of load, chosen again after {back} without")
        await region.assert_balanced()


@asynccontextmanager
async def ground(region: Region, real_host: RealHost, hands: Host) -> AsyncIterator[Ground]:
    """All workers at work, the real one's reporting; hosts as big as the real one, of which none holds anything."""
    real, *others = region.hosts
    options = real_host.options
    facts = HostFacts(HostLayout(options.root, options.run), options.uri, window=PERIOD)
    for host_id in others:
        with SimulatedHost(region.hosts[host_id].path, capacity=await facts.capacity()) as simulated:
            simulated.set_load(cpu_busy=OTHERS_ARE_BUSY)
    await region.execute("UPDATE hosts SET overcommit = 1 WHERE location_id = %s", region.location_id)
    warm = WarmHosts(region.location)
    placements = Placements(region.pool, warm, Notes(region.pool))
    async with AsyncExitStack() as stack:
        reports = await stack.enter_async_context(working_host(region, real, hands=replace(hands, facts=facts)))
        simulated_ones = [await stack.enter_async_context(working_host(region, host_id)) for host_id in others]
        reports.every = PERIOD
        stack.push_async_callback(facts.close)
        for at_work in (reports.keep_on(), facts.keep_looking()):
            await stack.enter_async_context(_kept(asyncio.ensure_future(at_work)))
        yield Ground(region, placements, real, simulated_ones)


@asynccontextmanager
async def _kept(task: asyncio.Future[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@contextmanager
def load(written: Path) -> Iterator[None]:
    """Every processor busy, and the disk."""
    loops = [("-c", LOOP)] * (os.cpu_count() or 1)
    processes = [subprocess.Popen((sys.executable, *words)) for words in (*loops, ("-c", WRITER, str(written)))]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        written.unlink()
