"""Names and targets: begun when the addresses are known, never in the boot's way, awaited before the end, undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from infra.domain.edge_plan import EdgeOrder
from infra.domain.models import ServerOrder
from infra.drivers.simulated import Fault
from infra.temporal.names import edge_queue
from tests.fix_region import NewRegion, Region, eventually, working_host
from workers.region import region_worker
from workflows.saga import Beside

EDGE = 7


@dataclass
class Doubles:
    """Of the region's steps; ``edge``: of an edge node's. They write down what they are asked, in order."""

    asked: list[str] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: bool = False

    def __post_init__(self) -> None:
        self.go_on.set()

    @activity.defn
    async def publish_dns(self, order: ServerOrder) -> None:
        self.asked.append("publish_dns")
        await self.go_on.wait()
        if self.refuses:
            raise ApplicationError("no", type="conflict", non_retryable=True)

    @activity.defn
    async def withdraw_dns(self, order: ServerOrder) -> None:
        self.asked.append("withdraw_dns")
        await self.go_on.wait()

    @activity.defn
    async def register_targets(self, order: ServerOrder) -> list[int]:
        self.asked.append("register_targets")
        return self.edges

    @activity.defn
    async def deregister_targets(self, order: ServerOrder) -> list[int]:
        self.asked.append("deregister_targets")
        return self.edges

    @activity.defn
    async def follow_plan(self, order: EdgeOrder) -> None:
        self.asked.append(f"follow_plan {order.edge_id}")

    @asynccontextmanager
    async def at_work(self, region: Region) -> AsyncIterator[None]:
        """In the place of the region worker's own, with the region's one host."""
        (host_id,) = region.hosts
        async with _with_these(region, self), working_host(region, host_id):
            yield

    def edge(self, client: Client) -> Worker:
        return Worker(client, task_queue=edge_queue(EDGE), activities=[self.follow_plan])


def _with_these(region: Region, doubles: Doubles) -> Worker:
    """The region worker as it is, but for these steps."""
    ours = [doubles.publish_dns, doubles.withdraw_dns, doubles.register_targets, doubles.deregister_targets]
    names = {one.__name__ for one in ours}

    class Replaced(Worker):
        def __init__(self, *args: Any, activities: Any, **more: Any) -> None:
            kept = [one for one in activities if one.__name__ not in names]
            super().__init__(*args, activities=[*kept, *ours], **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.region.Worker", Replaced)
        return region_worker(region.client, region.pool, region.settings)


async def test_a_server_boots_meanwhile_and_is_done_only_then(new_region: NewRegion) -> None:
    doubles = Doubles()
    doubles.go_on.clear()
    async with new_region(workers=False) as region, doubles.at_work(region):
        order = await region.order()
        await region.admit(order)
        await eventually(lambda: _ready(region))

        assert (await region.action(order))["status"] == "running"
        doubles.go_on.set()
        assert await region.ended(order) is None
        assert sorted(doubles.asked) == ["publish_dns", "register_targets"]


async def test_edges_are_told_of_targets_that_come_and_go(new_region: NewRegion) -> None:
    doubles = Doubles(edges=[EDGE])
    async with new_region(workers=False) as region, doubles.at_work(region), doubles.edge(region.client):
        order = await region.create()
        assert doubles.asked[-1] == f"follow_plan {EDGE}"
        doubles.asked.clear()
        region.host.inject(Fault("machines.destroy", when="hang"))
        await region.begin_delete(order)
        await eventually(lambda: _called(region, "machines.destroy"))

        async def all_asked() -> bool:
            return doubles.asked == ["deregister_targets", f"follow_plan {EDGE}", "withdraw_dns"]

        await eventually(all_asked)


async def test_an_edge_that_is_silent_keeps_no_server_from_coming_and_going(new_region: NewRegion) -> None:
    doubles = Doubles(edges=[EDGE])
    async with new_region(workers=False) as region, doubles.at_work(region):
        order = await region.create()
        await region.delete(order)
        await region.assert_nothing_left(order)


async def test_a_machine_goes_whatever_keeps_its_name_and_its_addresses_stay_until_that_is_gone(
    new_region: NewRegion,
) -> None:
    doubles = Doubles()
    async with new_region(workers=False) as region, doubles.at_work(region):
        order = await region.create()
        doubles.go_on.clear()
        await region.begin_delete(order)

        async def left() -> bool:
            return not region.host.inventory().machines and "withdraw_dns" in doubles.asked

        await eventually(left)
        taken = "SELECT FROM addresses WHERE server_id = %s"
        assert await region.one(taken, order.server_id) is not None
        doubles.go_on.set()
        await eventually(lambda: _gone(region, order))


async def test_names_that_are_refused_take_the_server_along(new_region: NewRegion) -> None:
    doubles = Doubles(refuses=True)
    async with new_region(workers=False) as region, doubles.at_work(region):
        order = await region.order()
        await region.admit(order)

        assert await region.ended(order) is not None
        assert doubles.asked[-2:] in (
            ["deregister_targets", "withdraw_dns"],
            ["withdraw_dns", "deregister_targets"],
        )
        await region.assert_nothing_left(order)


async def test_they_are_begun_once_however_many_hosts_are_tried(new_region: NewRegion) -> None:
    doubles = Doubles()
    async with new_region(2, workers=False) as region:
        one, other = region.hosts
        region.host.inject(Fault("machines.start", error="HostFull", count=None))
        async with _with_these(region, doubles), working_host(region, one), working_host(region, other):
            await region.create()

    assert sorted(doubles.asked) == ["publish_dns", "register_targets"]


async def test_an_evicted_story_ends_without_a_word() -> None:
    """It is collected outside of any workflow, where nothing may be waited for."""

    async def work() -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        async with Beside() as late:
            late.begin(work)
            await work()

    before = asyncio.all_tasks()
    evicted = story()
    evicted.send(None)
    (begun,) = asyncio.all_tasks() - before
    evicted.close()
    begun.cancel()


async def _gone(region: Region, order: ServerOrder) -> bool:
    return await region.server(order) is None


async def _ready(region: Region) -> bool:
    return await _called(region, "guests.heartbeat")


async def _called(region: Region, name: str) -> bool:
    return any(call.call == name for call in region.host.calls())
