"""What a host worker tells the books: what its steps did, what guests do by themselves, and what does not work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from infra.domain.looks import Looks
from infra.domain.models import ServerOrder
from infra.drivers.simulated import Fault
from tests.fix_region import NewRegion, Region, eventually, working_host
from workers.region import region_worker
from workers.reports import Reports

SURE = 0.2
HOUR = 3600.0


@asynccontextmanager
async def at_work(region: Region) -> AsyncIterator[Reports]:
    """The workers, and reports when the test asks for them; what is seen twice, a moment apart, is sure."""
    (host_id,) = region.hosts
    async with (
        region_worker(region.client, region.pool, region.settings),
        working_host(region, host_id) as reports,
    ):
        reports.looks = Looks(SURE)
        yield reports


async def status(region: Region, order: ServerOrder) -> tuple[str, str]:
    server = await region.server(order)
    assert server is not None
    return server["status"], server["desired"]


async def becomes(reports: Reports, region: Region, order: ServerOrder, wanted: tuple[str, str]) -> None:
    async def told() -> bool:
        await reports.tell()
        return await status(region, order) == wanted

    await eventually(told)


async def held(region: Region) -> list[dict[str, Any]]:
    async with region.pool.connection() as connection:
        found = await connection.execute(
            "SELECT server_id, state, speaks FROM host_holdings WHERE host_id = ANY(%s) ORDER BY server_id",
            (list(region.hosts),),
        )
        return await found.fetchall()


async def test_a_guest_that_turns_itself_off_is_off_and_can_be_turned_on(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        async with at_work(region) as reports:
            order, other = await region.create(), await region.create()
            await reports.round()
            region.host.power_off(order.server_id)

            await reports.tell()
            assert await status(region, order) == ("running", "on")  # it was seen so once
            await becomes(reports, region, order, ("off", "off"))
            assert await status(region, other) == ("running", "on")

        async with working_host(region, next(iter(region.hosts)), purge=True):  # a restart is no reason to run
            assert region.host.inventory().machines == {order.server_id: False, other.server_id: True}
        async with at_work(region) as reports:
            assert (await region.done(order, "start_server"))["status"] == "running"
            assert region.host.inventory().machines[order.server_id] is True
            await asyncio.sleep(SURE)
            await reports.round()
            assert await status(region, order) == ("running", "on")


async def test_what_is_not_brought_up_yet_is_not_told(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        order = await region.create()
        region.host.power_off(order.server_id)  # its host's power was cut, say
        region.host.inject(Fault("machines.start", count=None))
        await reports.begin()
        for _ in range(2):
            await asyncio.sleep(SURE)
            await reports.round()
        assert await status(region, order) == ("running", "on")

        region.host.clear()
        await reports.round()
        assert region.host.inventory().machines == {order.server_id: True}
        await asyncio.sleep(SURE)
        await reports.tell()
        assert await status(region, order) == ("running", "on")


async def test_a_server_whose_command_was_given_up_is_known_again(new_region: NewRegion) -> None:
    """Also when the host never heard of the command."""
    async with new_region(workers=False) as region, at_work(region) as reports:
        order = await region.create()
        await region.execute(
            "WITH raised AS ("
            "  UPDATE servers SET status = 'unknown', epoch = epoch + 1 WHERE id = %s RETURNING id, epoch"
            ")"
            " UPDATE claims SET epoch = raised.epoch FROM raised WHERE server_id = id",
            order.server_id,
        )
        await reports.round()
        await becomes(reports, region, order, ("running", "on"))


async def test_a_report_says_what_became_of_servers_and_agents(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        order = await region.create()
        await reports.begin()
        assert await held(region) == [{"server_id": order.server_id, "state": None, "speaks": None}]
        await reports.round()
        assert await held(region) == [{"server_id": order.server_id, "state": "running", "speaks": True}]


async def test_a_server_that_comes_or_goes_is_told_at_once(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        reports.every = reports.look_every = HOUR
        reports.pause = 0.0
        reporting = asyncio.create_task(reports.keep_on())
        await eventually(lambda: _reported(region))

        order = await region.create()
        await eventually(lambda: _holds(region, [order.server_id]))
        await region.delete(order)
        await eventually(lambda: _holds(region, []))

        reporting.cancel()
        with suppress(asyncio.CancelledError):
            await reporting


async def test_a_guest_that_turns_itself_off_is_told_between_reports(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        order = await region.create()
        reports.every, reports.look_every = HOUR, 0.05
        reporting = asyncio.create_task(reports.keep_on())
        await eventually(lambda: _holds(region, [order.server_id]))
        region.host.power_off(order.server_id)

        async def is_off() -> bool:
            return await status(region, order) == ("off", "off")

        await eventually(is_off)
        reporting.cancel()
        with suppress(asyncio.CancelledError):
            await reporting


async def test_a_hand_that_does_not_answer_is_named_beside_the_rest(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        order = await region.create()
        await reports.round()
        region.host.inject(Fault("machines.*", count=None))
        region.host.set_load(cpu_busy=0.5)
        await reports.round()

        told = await _told(region)
        assert [problem.partition(":")[0] for problem in told["problems"]] == [
            "the host does not put in order",
            "the host does not say what is here",
            "the host does not say what runs",
        ]
        assert (told["cpu_busy"], told["passed_over"]) == (0.5, True)
        assert [row["server_id"] for row in await held(region)] == [order.server_id]

        region.host.clear()
        await reports.round()
        told = await _told(region)
        assert (told["problems"], told["passed_over"]) == ([], False)


async def _told(region: Region) -> dict[str, Any]:
    row = await region.one(
        "SELECT cpu_busy, silent >= reported AS passed_over, problems FROM hosts JOIN host_details ON host_id = id"
        " WHERE location_id = %s",
        region.location_id,
    )
    assert row is not None
    return row


async def _reported(region: Region) -> bool:
    return (
        await region.one("SELECT FROM hosts WHERE location_id = %s AND told IS NOT NULL", region.location_id)
        is not None
    )


async def _holds(region: Region, servers: list[int]) -> bool:
    return [row["server_id"] for row in await held(region)] == servers
