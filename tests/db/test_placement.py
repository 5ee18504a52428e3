"""Placement in the books: the best host is claimed, nothing is ever over, and a spread group never meets on a host."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import cycle

import psycopg
import pytest
import pytest_asyncio
from psycopg.errors import CheckViolation
from psycopg_pool import PoolTimeout

from activities.placement import Placements
from infra.db import claims, host_care, placement_groups
from infra.db.placement_inputs import Notes
from infra.db.pool import open_pool
from infra.db.reports import record_report
from infra.db.warm_hosts import WarmHosts
from infra.domain.errors import OrderWithdrawn, ResourceUnavailable
from infra.domain.models import Claim, HostReport, PlacementRequest, Resources, ServerOrder
from infra.domain.refusals import PlacementError
from tests.fix_region import NewRegion, Region

TEN = Resources(cores=20, memory_mib=10 * 256 + 255, disk_gib=200)
"""Room for ten servers of the smallest plan: its memory is what ends first."""


@pytest_asyncio.fixture
async def trio(new_region: NewRegion) -> AsyncIterator[Region]:
    """Three hosts, and nobody who works."""
    async with new_region(3, workers=False) as region:
        yield region


def placements(region: Region) -> Placements:
    return Placements(region.pool, WarmHosts(region.location), Notes(region.pool))


async def placed(region: Region, order: ServerOrder, excluded: tuple[int, ...] = (), epoch: int = 1) -> Claim:
    return await placements(region).place_server(PlacementRequest(order, excluded, epoch))


async def test_an_answer_that_was_lost_is_given_again(trio: Region) -> None:
    order = await trio.order()

    assert await placed(trio, order) == await placed(trio, order)
    await trio.assert_balanced()


async def test_a_try_that_comes_late_claims_nothing(trio: Region) -> None:
    order = await trio.order()
    claim = await placed(trio, order, epoch=1)
    await placements(trio).release_claim(PlacementRequest(order, (), 1))

    with pytest.raises(OrderWithdrawn):
        await placed(trio, order, epoch=1)
    assert (await placed(trio, order, (claim.host_id,), epoch=2)).host_id != claim.host_id
    await trio.assert_balanced()


async def test_five_hundred_at_once_fill_room_for_three_hundred_to_the_last(new_region: NewRegion) -> None:
    """Eight region workers, each with a table and connections of its own."""
    async with new_region(30, workers=False, room=TEN) as region:
        await region.set_quota(max_servers=1000, max_cores=1000)
        size = await region.one("SELECT cores, memory_mib FROM server_types WHERE id = %s", region.server_type_id)
        assert size == {"cores": 1, "memory_mib": 256}
        ordered = [await region.order() for _ in range(500)]
        await region.execute("UPDATE hosts SET reported = now() WHERE location_id = %s", region.location_id)
        async with open_pool(region.settings.database_url, 16) as pool:
            workers = cycle([Placements(pool, WarmHosts(region.location), Notes(pool)) for _ in range(8)])
            ended = await asyncio.gather(*(at_last(next(workers), order) for order in ordered), return_exceptions=True)

        held = Counter(end.host_id for end in ended if isinstance(end, Claim))
        assert held == dict.fromkeys(region.hosts, 10)
        assert {type(end) for end in ended} == {Claim, ResourceUnavailable}  # no CheckViolation among them
        assert await region.one("SELECT count(*) AS n FROM claims c JOIN hosts h ON h.id = c.host_id"
                                " WHERE h.location_id = %s", region.location_id) == {"n": 300}  # fmt: skip
        await region.assert_balanced()


async def at_last(worker: Placements, order: ServerOrder) -> Claim:
    """Again where there was no connection in time, as its story does it."""
    while True:
        with suppress(PoolTimeout):
            return await worker.place_server(PlacementRequest(order))


async def test_the_books_themselves_refuse_what_is_over(trio: Region) -> None:
    """Behind the guarded claim stands a CHECK, whoever writes."""
    with pytest.raises(CheckViolation, match="hosts_room_for_memory"):
        await trio.execute("UPDATE hosts SET used_memory_mib = memory_mib + 1 WHERE id = %s", min(trio.hosts))


async def test_a_host_that_shrank_below_what_it_holds_keeps_it_and_gets_no_more(new_region: NewRegion) -> None:
    async with new_region(1, workers=False, room=TEN) as region:
        host_id, kept = next(iter(region.hosts)), await region.order()
        await placed(region, kept)
        async with region.pool.connection() as connection:
            await record_report(connection, HostReport(host_id, 1, 512, 1))

        with pytest.raises(ResourceUnavailable):
            await placed(region, await region.order())
        await placements(region).release_claim(PlacementRequest(kept))
        await region.assert_balanced()


@pytest.mark.parametrize("state", ["cordoned", "draining", "lost"])
async def test_a_host_that_does_not_accept_is_not_claimed(trio: Region, state: host_care.State) -> None:
    *others, last = sorted(trio.hosts)
    async with trio.pool.connection() as connection:
        for host_id in others:
            await host_care.set_state(connection, host_id, state)

    assert (await placed(trio, await trio.order())).host_id == last


async def group_of(region: Region) -> int:
    async with region.pool.connection() as connection:
        return (await placement_groups.create(connection, region.project_id, "apart", "spread", {})).id


async def test_servers_of_a_spread_group_are_on_different_hosts_and_more_are_refused(trio: Region) -> None:
    group = await group_of(trio)
    ordered = [await trio.order(placement_group=group) for _ in range(4)]

    held = {(await placed(trio, order)).host_id for order in ordered[:3]}
    with pytest.raises(ResourceUnavailable) as refusal:
        await placed(trio, ordered[3])

    assert held == set(trio.hosts)
    assert refusal.value.message == (
        "no host can take 1 core, 0.25 GB memory and 2 GB disk now: of 3 hosts 3 hold servers of the placement group;"
        " outside its placement group it fits on 3"
    )


async def test_servers_of_a_spread_group_placed_at_once_are_on_different_hosts(trio: Region) -> None:
    group = await group_of(trio)
    ordered = [await trio.order(placement_group=group) for _ in range(3)]

    claimed = await asyncio.gather(*(placed(trio, order) for order in ordered))

    assert {claim.host_id for claim in claimed} == set(trio.hosts)


async def test_of_two_claims_of_a_group_on_one_host_the_later_is_refused(trio: Region) -> None:
    """Neither sees the other's row: a unique index is behind them."""
    group, host_id = await group_of(trio), min(trio.hosts)
    first, second = await trio.order(placement_group=group), await trio.order(placement_group=group)
    async with trio.pool.connection() as one, trio.pool.connection() as other:
        async with one.transaction():
            assert await claims.take(one, first, host_id, {}) is not None
            waiting = asyncio.create_task(claims.take(other, second, host_id, {}))
            await asyncio.wait([waiting], timeout=0.5)  # it waits for the row of the host
            assert not waiting.done()
        assert await waiting is None
    await trio.assert_balanced()


async def test_a_server_comes_into_a_group_only_where_its_host_holds_no_other_of_it(trio: Region) -> None:
    group, host_id = await group_of(trio), min(trio.hosts)
    ordered = [await trio.order() for _ in range(2)]
    async with trio.pool.connection() as connection:
        for order in ordered:
            assert await claims.take(connection, order, host_id, {}) is not None
            await trio.execute("UPDATE servers SET status = 'off', locked_by = NULL WHERE id = %s", order.server_id)
        async with connection.transaction():
            await placement_groups.add_server(connection, trio.project_id, ordered[0].server_id, group)
        with pytest.raises(PlacementError, match="on the same host"):
            async with connection.transaction():
                await placement_groups.add_server(connection, trio.project_id, ordered[1].server_id, group)
        async with connection.transaction():
            await placement_groups.remove_server(connection, trio.project_id, ordered[0].server_id)
            await placement_groups.add_server(connection, trio.project_id, ordered[1].server_id, group)
    for order in ordered:  # as they came: these books are others', too, and a server that is off has addresses
        await trio.execute(
            "UPDATE servers SET status = 'initializing', locked_by = %s WHERE id = %s", order.action_id, order.server_id
        )
    await trio.assert_balanced()


async def test_own_servers_are_spread_over_racks(new_region: NewRegion) -> None:
    async with new_region(6, workers=False) as region:
        for host_id, rack in zip(sorted(region.hosts), ["r1", "r1", "r2", "r2", "r3", "r3"], strict=True):
            await region.execute("UPDATE hosts SET rack = %s WHERE id = %s", rack, host_id)

        claimed = [await placed(region, await region.order()) for _ in range(3)]

        racks = [await region.one("SELECT rack FROM hosts WHERE id = %s", claim.host_id) for claim in claimed]
        assert sorted(row["rack"] for row in racks if row) == ["r1", "r2", "r3"]


async def test_a_lost_race_takes_the_next_of_the_ranking(trio: Region) -> None:
    """The host that is best is filled between the look and the claim."""
    order, best = await trio.order(), min(trio.hosts)
    async with await psycopg.AsyncConnection.connect(trio.settings.database_url) as rival:
        await rival.execute("UPDATE hosts SET used_memory_mib = memory_mib WHERE id = %s", (best,))
        placing = asyncio.create_task(placed(trio, order))
        await asyncio.wait([placing], timeout=0.5)  # its claim waits for the row of the host
        assert not placing.done()
        await rival.commit()

        assert (await placing).host_id == sorted(trio.hosts)[1]
    await trio.execute("UPDATE hosts SET used_memory_mib = 0 WHERE id = %s", best)
