"""What placements were decided on is kept beside them: decided again, they come out as they did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import pytest_asyncio

from activities.placement import Placements
from infra.db import claims, placement_inputs, placement_lookup
from infra.db.placement_inputs import MOST, Note, Notes
from infra.db.pool import Connection, Pool
from infra.db.warm_hosts import WarmHosts
from infra.domain.errors import Conflict, NotFound, ResourceUnavailable
from infra.domain.models import PlacementRequest, Resources
from infra.domain.placement_record import recompute, write
from tests.fix_region import NewRegion, Region, serving_another_project


@pytest_asyncio.fixture
async def pair(new_region: NewRegion) -> AsyncIterator[Region]:
    """Two hosts with room for two servers each, and nobody who works."""
    async with new_region(2, workers=False, room=Resources(2, 512, 100)) as region:
        yield region


class Desk:
    """Places, and waits until what it decided on is kept."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.notes = Notes(region.pool)
        self.placements = Placements(region.pool, WarmHosts(region.location), self.notes)

    async def place(self, request: PlacementRequest) -> int | None:
        try:
            claim = await self.placements.place_server(request)
        except ResourceUnavailable:
            return None
        finally:
            await self.notes.written()
        return claim.host_id

    async def kept(self, server_id: int) -> placement_lookup.Kept:
        async with self.region.pool.connection() as connection:
            return await placement_lookup.kept(connection, server_id)


@pytest.fixture
def desk(pair: Region) -> Desk:
    return Desk(pair)


async def test_decided_again_each_comes_out_as_it_did(pair: Region, desk: Desk) -> None:
    """The first is kept with the hosts as they were, those after it with what changed since."""
    ordered = [await pair.order() for _ in range(5)]
    hosts = [await desk.place(PlacementRequest(order)) for order in ordered]

    for order, host_id in zip(ordered, hosts, strict=True):
        kept = await desk.kept(order.server_id)
        assert (kept.host_id, kept.epoch) == (host_id, 1)
        assert next(iter(kept.ranking), None) == host_id
        async with pair.pool.connection() as connection:
            placed, found = (
                await claims.placed(connection, order.server_id),
                await placement_inputs.find(connection, order.server_id),
            )
        assert found is not None
        assert found.digest == kept.ranking.digest
        if host_id is not None:
            assert placed is not None
            assert placed.decision == kept.ranking.as_json()
        written = write(kept.ranking)
        assert recompute(written) == written
    assert hosts.count(None) == 1  # there was room for four


async def test_decisions_of_one_moment_share_a_table_of_hosts(pair: Region, desk: Desk) -> None:
    ordered = [await pair.order() for _ in range(3)]
    for order in ordered:
        await desk.place(PlacementRequest(order))

    tables = await pair.one(
        "SELECT count(DISTINCT hosts_id) AS n FROM placement_inputs WHERE server_id = ANY(%s)",
        [order.server_id for order in ordered],
    )
    assert tables == {"n": 1}


async def test_a_host_that_came_meanwhile_is_in_the_next_one(pair: Region, desk: Desk) -> None:
    first, second = await pair.order(), await pair.order()
    await desk.place(PlacementRequest(first))
    await pair.execute("UPDATE hosts SET rack = 'moved' WHERE id = %s", min(pair.hosts))
    await desk.place(PlacementRequest(second))

    assert (await desk.kept(first.server_id)).ranking.hosts.at(0).rack == ""
    assert (await desk.kept(second.server_id)).ranking.hosts.at(0).rack == "moved"


async def test_of_a_server_that_was_placed_again_the_newest_is_told(pair: Region, desk: Desk) -> None:
    order = await pair.order()
    left = await desk.place(PlacementRequest(order, (), 1))
    assert left is not None
    await desk.placements.release_claim(PlacementRequest(order, (), 1))
    await desk.place(PlacementRequest(order, (left,), 2))

    kept = await desk.kept(order.server_id)
    assert (kept.epoch, kept.ranking.ask.excluded) == (2, (left,))
    assert kept.host_id != left


@pytest.mark.parametrize(
    "otherwise",
    [
        "UPDATE placement_inputs SET digest = 'of other weights' WHERE server_id = %s",
        "UPDATE placement_inputs SET ask = ask - 'density_target' || '{\"target\": 1}' WHERE server_id = %s",
    ],
)
async def test_what_another_version_decided_is_not_decided_again(pair: Region, desk: Desk, otherwise: str) -> None:
    order = await pair.order()
    await desk.place(PlacementRequest(order))
    await pair.execute(otherwise, order.server_id)

    with pytest.raises(Conflict, match=f"server {order.server_id} was placed by another version"):
        await desk.kept(order.server_id)


async def test_nothing_is_kept_for_longer_than_a_week(pair: Region, desk: Desk) -> None:
    order = await pair.order()
    await desk.place(PlacementRequest(order))
    await pair.execute("UPDATE placement_hosts SET created = now() - interval '8 days'")
    async with pair.pool.connection() as connection:
        await placement_inputs.forget_old(connection)

    with pytest.raises(NotFound, match="no placement is kept"):
        await desk.kept(order.server_id)


async def test_of_what_takes_too_much_room_the_oldest_goes(pair: Region, desk: Desk) -> None:
    first, second = await pair.order(), await pair.order()
    await desk.place(PlacementRequest(first))
    await pair.execute("UPDATE hosts SET rack = 'moved' WHERE id = %s", min(pair.hosts))  # they share no table
    await desk.place(PlacementRequest(second))
    newest = await pair.one("SELECT octet_length(hosts) AS bytes FROM placement_hosts ORDER BY id DESC LIMIT 1")
    assert newest is not None

    async with pair.pool.connection() as connection:
        await placement_inputs.forget_old(connection)
        assert (await desk.kept(first.server_id)).epoch == 1
        await placement_inputs.forget_old(connection, most=newest["bytes"])

    assert (await desk.kept(second.server_id)).epoch == 1
    with pytest.raises(NotFound, match="no placement is kept"):
        await desk.kept(first.server_id)


async def test_a_placement_waits_for_no_note(pair: Region, desk: Desk) -> None:
    """What cannot be kept, since too much waits or the books say no, costs the note alone."""
    order = await pair.order()
    await pair.execute("ALTER TABLE placement_inputs RENAME TO away")
    try:
        host_id = await desk.place(PlacementRequest(order))
    finally:
        await pair.execute("ALTER TABLE away RENAME TO placement_inputs")
    assert host_id in pair.hosts
    with pytest.raises(NotFound):
        await desk.kept(order.server_id)
    kept = (await placed_now(pair, order.server_id)).ranking
    for _ in range(MOST + 5):
        desk.notes.keep(Note(PlacementRequest(order), kept, None))
    await desk.notes.written()
    assert (await desk.kept(order.server_id)).host_id is None


class Busy:
    """The region's connections; while the first is given back, something else happens."""

    def __init__(self, region: Region, meanwhile: Callable[[], None]) -> None:
        self.region = region
        self.meanwhile: Iterator[Callable[[], None]] = iter([meanwhile])

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self.region.pool.connection() as connection:
            yield connection
        for happen in self.meanwhile:
            happen()


async def test_a_note_that_comes_while_the_last_one_is_finished_waits_for_no_other(pair: Region, desk: Desk) -> None:
    first, second = await pair.order(), await pair.order()
    ranking = (await placed_now(pair, first.server_id)).ranking
    notes = Notes(cast(Pool, Busy(pair, lambda: notes.keep(Note(PlacementRequest(second), ranking, None)))))

    notes.keep(Note(PlacementRequest(first), ranking, None))
    await notes.written()

    assert (await desk.kept(second.server_id)).host_id is None


async def placed_now(region: Region, server_id: int) -> placement_lookup.Now:
    async with region.pool.connection() as connection:
        return await placement_lookup.placed_now(connection, server_id)


async def test_with_the_hosts_as_they_are_now_nothing_is_claimed(pair: Region) -> None:
    order = await pair.order()

    now = await placed_now(pair, order.server_id)

    assert (len(now.ranking), set(now.names) >= set(pair.hosts)) == (2, True)
    assert await pair.one("SELECT 1 FROM claims WHERE server_id = %s", order.server_id) is None
    with pytest.raises(NotFound, match="there is no server 999999999"):
        await placed_now(pair, 999_999_999)


async def test_a_server_is_found_by_its_id_and_by_its_name(pair: Region) -> None:
    name = f"web-{pair.location}"
    order = await pair.order(name)
    async with pair.pool.connection() as connection:
        assert await placement_lookup.server_of(connection, name) == order.server_id
        assert await placement_lookup.server_of(connection, str(order.server_id)) == order.server_id
        with pytest.raises(NotFound, match="there is no server nobody"):
            await placement_lookup.server_of(connection, "nobody")
        async with serving_another_project(pair):
            await connection.execute(
                "INSERT INTO servers (project_id, user_id, name, server_type_id, location_id, image_id)"
                " SELECT p.id, user_id, s.name, server_type_id, location_id, image_id"
                " FROM servers s, projects p WHERE p.name = %s AND s.id = %s",
                (f"{pair.location}-other", order.server_id),
            )
            with pytest.raises(Conflict, match=rf"several servers are called {name}: {order.server_id} \(project"):
                await placement_lookup.server_of(connection, name)
            await connection.execute("DELETE FROM servers WHERE name = %s AND id <> %s", (name, order.server_id))
