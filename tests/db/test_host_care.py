"""Hosts in the hands of operators: a state keeps new servers away, and a host goes only when nothing can be on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from infra.db import claims, host_care, host_views, hosts, keys, reports
from infra.db.host_care import Edited, State
from infra.db.host_views import HostReading, HostUse
from infra.db.hosts import NewHost
from infra.domain.errors import HostInUse, InvalidInput, NotFound, UniquenessError
from infra.domain.models import Claim, HostReport, Resources, ServerOrder, Tombstone
from infra.domain.topology import Standing
from tests.fix_region import NewRegion, Region, eventually, host_key


@pytest_asyncio.fixture
async def books(new_region: NewRegion) -> AsyncIterator[Region]:
    """Orders and one host, and nobody who works on them."""
    async with new_region(workers=False, room=Resources(2, 4096, 100)) as region:
        yield region


def id_of(region: Region) -> int:
    return next(iter(region.hosts))


async def taken(region: Region, order: ServerOrder) -> Claim | None:
    async with region.pool.connection() as connection:
        return await claims.take(connection, order, id_of(region), {})


async def in_state(region: Region, state: State) -> None:
    async with region.pool.connection() as connection:
        await host_care.set_state(connection, id_of(region), state)


async def removed(region: Region) -> int:
    async with region.pool.connection() as connection:
        return await host_care.remove_host(connection, id_of(region))


async def listed(region: Region) -> HostUse | None:
    async with region.pool.connection() as connection:
        found = {host.id: host for host in await host_views.list_hosts(connection)}
    return found.get(id_of(region))


async def test_a_list_says_how_full_and_how_fresh(books: Region) -> None:
    order = await books.order()
    await taken(books, order)
    async with books.pool.connection() as connection:
        await claims.bury(connection, Tombstone(4711, id_of(books), 1))

    fresh = await listed(books)
    await books.execute("UPDATE hosts SET reported = now() - interval '91 s' WHERE id = %s", id_of(books))
    silent = await listed(books)

    assert fresh is not None
    assert silent is not None
    assert (fresh.name, fresh.location, fresh.state) == (
        f"{books.location}-{id_of(books)}",
        books.location,
        "accepting",
    )
    assert (fresh.servers, fresh.tombstones) == (1, 1)
    assert (fresh.used_cores, fresh.cores) == (order.resources.cores, 8)  # two, overcommitted four times
    assert (fresh.used_memory_mib, fresh.memory_mib) == (order.resources.memory_mib, 4096)
    assert (fresh.used_disk_gib, fresh.disk_gib) == (order.resources.disk_gib, 100)
    assert (fresh.fresh, silent.fresh) == (True, False)


async def test_a_host_that_was_waited_for_in_vain_takes_nothing_until_it_reports_again(books: Region) -> None:
    order, report = await books.order(), HostReport(id_of(books), 2, 4096, 100)
    async with books.pool.connection() as connection:
        await hosts.mark_silent(connection, id_of(books))

    assert (host := await listed(books)) is not None
    assert not host.fresh
    assert await taken(books, order) is None
    async with books.pool.connection() as connection:
        await reports.record_report(connection, report)
    assert (host := await listed(books)) is not None
    assert host.fresh
    assert await taken(books, order) is not None


async def test_a_host_is_found_by_its_id_and_by_its_name(books: Region) -> None:
    async with books.pool.connection() as connection:
        by_id = await host_care.find_host(connection, str(id_of(books)))
        by_name = await host_care.find_host(connection, f"{books.location}-{id_of(books)}")
        with pytest.raises(NotFound, match="there is no host nowhere"):
            await host_care.find_host(connection, "nowhere")
        with pytest.raises(NotFound):
            await host_care.set_state(connection, 2**40, "cordoned")
        with pytest.raises(NotFound):
            await host_care.remove_host(connection, 2**40)
    assert by_id == by_name
    assert by_id.id == id_of(books)


@pytest.mark.parametrize("state", ["cordoned", "draining", "lost"])
async def test_a_host_that_takes_no_servers_keeps_those_it_has(books: Region, state: State) -> None:
    old, new = await books.order(), await books.order()
    await taken(books, old)

    await in_state(books, state)
    await in_state(books, state)

    assert await taken(books, new) is None
    async with books.pool.connection() as connection:
        assert [holder.id for holder in await host_care.servers_on(connection, id_of(books))] == [old.server_id]
        assert [one.machine.server_id for one in (await hosts.claims_of(connection, id_of(books))).claims] == [
            old.server_id
        ]
    await in_state(books, "accepting")
    assert await taken(books, new) is not None


async def edited(region: Region, **what: Any) -> Edited:
    async with region.pool.connection() as connection:
        return await host_care.edit_host(connection, id_of(region), Standing(**what))


async def test_an_edit_changes_what_is_said_and_nothing_else(books: Region) -> None:
    name = f"{books.location}-{id_of(books)}"
    first = await edited(books, availability_zone="a", rack="r1", switch="s1", overcommit=2.0)
    second = await edited(books, rack="", overcommit=2.0)

    assert first.changed == {
        "availability_zone": ("", "a"),
        "rack": ("", "r1"),
        "switch": ("", "s1"),
        "overcommit": (4.0, 2.0),
    }
    assert (second.name, second.changed) == (name, {"rack": ("r1", "")})
    assert (host := await listed(books)) is not None
    assert (host.name, host.availability_zone, host.rack, host.switch, host.overcommit) == (name, "a", "", "s1", 2.0)
    assert (host.cores, host.state) == (4, "accepting")


async def test_an_edit_that_cannot_be_changes_nothing(books: Region) -> None:
    before, fresh = await listed(books), await books.one("SELECT nextval('hosts_id_seq') AS id")
    assert fresh is not None
    async with books.pool.connection() as connection:
        other = NewHost(fresh["id"], f"{books.location}-other", books.location_id, b"o" * 32)
        await hosts.register_host(connection, other)
    try:
        with pytest.raises(UniquenessError, match=f"another host is called {other.name}"):
            await edited(books, name=other.name, rack="r9")
    finally:
        async with books.pool.connection() as connection:
            await host_care.remove_host(connection, other.id)
    for wrong in ({"rack": "R 9"}, {"name": "17"}, {"overcommit": 0.9, "rack": "r9"}):
        with pytest.raises(InvalidInput):
            await edited(books, **wrong)
    async with books.pool.connection() as connection:
        with pytest.raises(NotFound):
            await host_care.edit_host(connection, 2**40, Standing(rack="r9"))

    after = await listed(books)
    assert before is not None
    assert after is not None
    assert replace(after, report_age_s=None) == replace(before, report_age_s=None)


async def test_an_overcommit_below_what_is_held_keeps_new_servers_away_until_some_have_gone(books: Region) -> None:
    held = [await books.order() for _ in range(3)]
    for order in held:
        assert await taken(books, order) is not None
    told = await edited(books, overcommit=1.0)
    new = await books.order()

    assert (told.used_cores, told.cores) == (3, 2)
    assert await taken(books, new) is None
    async with books.pool.connection() as connection:
        for order in held[:2]:
            await claims.release(connection, order.server_id)
    assert await taken(books, new) is not None
    await books.assert_balanced()


async def test_a_registration_keeps_what_operators_edited(books: Region) -> None:
    await edited(books, name=f"{books.location}-mine", availability_zone="a", rack="r1", switch="s1", overcommit=2.0)
    before = await listed(books)

    async with books.pool.connection() as connection:
        again = NewHost(id_of(books), f"{books.location}-node", books.location_id, b"k" * 32, "arm", "b", "r2", "s2")
        await hosts.register_host(connection, again)
        assert await hosts.host_of_key(connection, b"k" * 32) == id_of(books)

    after = await listed(books)
    assert before is not None
    assert after is not None
    assert replace(after, report_age_s=None) == replace(before, report_age_s=None, architecture="arm")


async def test_what_ran_on_a_lost_host_is_unknown_and_stays_its_own(books: Region) -> None:
    running, off, new, busy = [await books.order() for _ in range(4)]
    for order in (running, off, new, busy):
        await taken(books, order)
    await books.execute("UPDATE servers SET status = 'running', locked_by = NULL WHERE id = %s", running.server_id)
    await books.execute("UPDATE servers SET status = 'off', locked_by = NULL WHERE id = %s", off.server_id)
    await books.execute("UPDATE servers SET status = 'running' WHERE id = %s", busy.server_id)  # and locked

    async with books.pool.connection() as connection:
        doubted = [await host_care.lose_host(connection, id_of(books)) for _ in range(2)]
        holders = await host_care.servers_on(connection, id_of(books))
        confirmed = (await hosts.claims_of(connection, id_of(books))).claims
        with pytest.raises(NotFound):
            await host_care.lose_host(connection, 2**40)

    assert doubted == [1, 0]
    assert {holder.id: holder.status for holder in holders} == {
        running.server_id: "unknown",
        off.server_id: "off",
        new.server_id: "initializing",
        busy.server_id: "running",
    }
    assert [claim.runs for claim in confirmed] == [True, False, False, True]  # what is to run when it is back
    for order in (running, off, busy):  # as they came: these books are others', too
        await books.execute(
            "UPDATE servers SET status = 'initializing', locked_by = %s WHERE id = %s", order.action_id, order.server_id
        )


async def test_a_lost_host_is_known_as_such_until_it_is_taken_back(books: Region) -> None:
    async with books.pool.connection() as connection:
        await host_care.lose_host(connection, id_of(books))
        assert await hosts.is_lost(connection, id_of(books))
        await host_care.set_state(connection, id_of(books), "accepting")
        assert not await hosts.is_lost(connection, id_of(books))
        assert not await hosts.is_lost(connection, 2**40)


async def test_all_there_is_of_one_host(books: Region) -> None:
    order = await books.order("web")
    await taken(books, order)
    report = HostReport(id_of(books), 2, 4096, 100, 2048, 50, 0.25, 0.5, 0.75, "simulated", {"kernel": "6.1"})
    async with books.pool.connection() as connection:
        await reports.record_report(connection, report)
        shown = await host_views.show_host(connection, id_of(books))
        with pytest.raises(NotFound):
            await host_views.show_host(connection, 2**40)
        with pytest.raises(NotFound, match="there is no location nowhere"):
            await host_views.list_hosts(connection, "nowhere")
        assert [host.id for host in await host_views.list_hosts(connection, books.location)] == [id_of(books)]

    assert (shown.use.driver, shown.use.servers) == ("simulated", 1)
    assert shown.reading == HostReading(2048, 50, 0.25, 0.5, 0.75, {"kernel": "6.1"})
    assert [holder.name for holder in shown.servers] == ["web"]


async def test_a_host_with_servers_stays(books: Region) -> None:
    order = await books.order("web")
    await taken(books, order)

    with pytest.raises(HostInUse, match=rf"holds 1 server: {order.server_id} \(web\); they have to be deleted first"):
        await removed(books)

    assert await listed(books) is not None
    await books.assert_balanced()


async def test_a_removed_host_takes_its_key_and_its_tombstones_along_and_may_come_anew(books: Region) -> None:
    order, other = await books.order(), await books.order()
    await taken(books, order)
    async with books.pool.connection() as connection:
        await claims.release(connection, order.server_id)
        await claims.bury(connection, Tombstone(order.server_id, id_of(books), 1))
        digest = keys.digest_of(keys.server_secret(books.settings), host_key(books, id_of(books)))
        assert await hosts.host_of_key(connection, digest) == id_of(books)

        assert await removed(books) == 1

        assert await hosts.host_of_key(connection, digest) is None
        assert await listed(books) is None
        assert await books.one("SELECT FROM tombstones WHERE host_id = %s", id_of(books)) is None
        with pytest.raises(NotFound):
            await removed(books)
        with pytest.raises(NotFound):
            await reports.record_report(connection, HostReport(id_of(books), 2, 4096, 100))
        assert await taken(books, other) is None

        await hosts.register_host(connection, NewHost(id_of(books), "anew", books.location_id, digest))
        await reports.record_report(connection, HostReport(id_of(books), 2, 4096, 100))
        assert await hosts.host_of_key(connection, digest) == id_of(books)
    assert await taken(books, other) is not None
    await books.assert_balanced()


async def test_a_claim_that_is_being_made_keeps_the_host(books: Region) -> None:
    order = await books.order()
    async with books.pool.connection() as connection:
        async with connection.transaction():
            assert await claims.take(connection, order, id_of(books), {}) is not None
            removing = asyncio.create_task(removed(books))
            await eventually(lambda: waits(books, "SELECT name FROM hosts"))
        with pytest.raises(HostInUse):
            await removing
    await books.assert_balanced()


async def test_a_removal_that_is_being_made_keeps_claims_away(books: Region) -> None:
    order = await books.order()
    async with books.pool.connection() as connection:
        async with connection.transaction():
            await host_care.remove_host(connection, id_of(books))
            taking = asyncio.create_task(taken(books, order))
            await eventually(lambda: waits(books, "WITH alive"))
        assert await taking is None
    await books.assert_balanced()


async def waits(region: Region, query: str) -> dict[str, Any] | None:
    """Whether a connection of the region's waits for a lock with such a query."""
    return await region.one(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        " AND ltrim(query, E'\\n') LIKE %s",
        f"{query}%",
    )
