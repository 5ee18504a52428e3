"""Hosts in the hands of operators: a state keeps new servers away, and a host goes only when nothing can be on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from infra.db import claims, host_care, hosts, keys
from infra.db.host_care import HostUse, State
from infra.db.hosts import NewHost
from infra.domain.errors import HostInUse, NotFound
from infra.domain.models import Claim, HostReport, Resources, ServerOrder, Tombstone
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
        found = {host.id: host for host in await host_care.list_hosts(connection)}
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
        await hosts.record_report(connection, report)
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


@pytest.mark.parametrize("state", ["cordoned", "draining"])
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
            await hosts.record_report(connection, HostReport(id_of(books), 2, 4096, 100))
        assert await taken(books, other) is None

        await hosts.register_host(connection, NewHost(id_of(books), "anew", books.location_id, digest))
        await hosts.record_report(connection, HostReport(id_of(books), 2, 4096, 100))
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
