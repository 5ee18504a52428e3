"""Hosts kept warm: whatever is written about hosts, and whenever it is committed, the next look has it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from infra.db import claims, host_care, hosts, reports, warm_hosts
from infra.db.locations import ensure_location
from infra.db.warm_hosts import COLUMNS, WarmHosts
from infra.domain.errors import NotFound
from infra.domain.host_table import HostTable, HostView
from infra.domain.models import HostReport
from tests.fix_region import NewRegion, Region, eventually


@pytest_asyncio.fixture
async def trio(new_region: NewRegion) -> AsyncIterator[Region]:
    """Three hosts, and nobody who works."""
    async with new_region(3, workers=False) as region:
        yield region


@pytest.fixture
def warm(trio: Region) -> WarmHosts:
    return WarmHosts(trio.location)


async def seen(region: Region, warm: WarmHosts) -> HostTable:
    async with region.pool.connection() as connection:
        return (await warm.look(connection)).hosts


async def read(region: Region) -> HostTable:
    """All of them, by one plain statement."""
    async with region.pool.connection() as connection:
        found = await connection.execute(
            f"SELECT {COLUMNS} FROM hosts h WHERE location_id = %s".encode(), (region.location_id,)
        )
        return HostTable.of(HostView(**row) for row in await found.fetchall())


async def test_a_first_look_reads_all_hosts_of_the_location_and_no_others(trio: Region, warm: WarmHosts) -> None:
    assert (await seen(trio, warm)).ids.tolist() == sorted(trio.hosts)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hosts SET cpu_busy = 0.3 WHERE id = %s",
        "UPDATE hosts SET state = 'cordoned' WHERE id = %s",
        "UPDATE hosts SET rack = 'r7', availability_zone = 'b', switch = 's' WHERE id = %s",
        "UPDATE hosts SET overcommit = 2 WHERE id = %s",
        "UPDATE hosts SET silent = now() WHERE id = %s",
        "UPDATE hosts SET io_wait = 0.5, free_memory_mib = 17, reported = now() WHERE id = %s",
    ],
)
async def test_the_next_look_has_what_was_written(trio: Region, warm: WarmHosts, statement: str) -> None:
    before = await seen(trio, warm)
    await trio.execute(statement, max(trio.hosts))

    after = await seen(trio, warm)

    assert after.digest() != before.digest()
    assert after.digest() == (await read(trio)).digest()


async def test_what_is_committed_after_a_look_but_began_before_it_is_not_missed(trio: Region, warm: WarmHosts) -> None:
    host_id = min(trio.hosts)
    async with await psycopg.AsyncConnection.connect(trio.settings.database_url) as slow:
        await slow.execute("UPDATE hosts SET io_wait = 0.5 WHERE id = %s", (host_id,))
        await trio.execute("UPDATE hosts SET io_wait = 0.75 WHERE id = %s", max(trio.hosts))  # a newer transaction
        assert (await seen(trio, warm)).column("io_wait").tolist() == [0, 0, 0.75]
        await slow.commit()

    assert (await seen(trio, warm)).column("io_wait").tolist() == [0.5, 0, 0.75]


async def test_a_host_that_is_removed_or_moves_away_is_not_seen_any_more(trio: Region, warm: WarmHosts) -> None:
    first, second, third = sorted(trio.hosts)
    await seen(trio, warm)

    async with trio.pool.connection() as connection:
        await host_care.remove_host(connection, second)
    assert (await seen(trio, warm)).ids.tolist() == [first, third]

    async with trio.pool.connection() as connection:
        elsewhere = await ensure_location(connection, f"{trio.location}-b")
    await trio.execute("UPDATE hosts SET location_id = %s WHERE id = %s", elsewhere, third)
    assert (await seen(trio, warm)).ids.tolist() == [first]
    await trio.execute("UPDATE hosts SET location_id = %s WHERE id = %s", trio.location_id, third)
    assert (await seen(trio, warm)).ids.tolist() == [first, third]


async def test_of_books_that_were_restored_all_is_read_again(trio: Region, warm: WarmHosts) -> None:
    """Their transactions may have lower ids than those of the look before."""
    await seen(trio, warm)
    warm._since = str(2**62)
    await trio.execute("UPDATE hosts SET io_wait = 0.5 WHERE id = %s", min(trio.hosts))

    assert (await seen(trio, warm)).column("io_wait").tolist() == [0.5, 0, 0]


async def test_a_look_reads_only_what_changed(trio: Region, warm: WarmHosts) -> None:
    """Nothing was written, so the table is the one of the look before."""
    before = await seen(trio, warm)

    assert await seen(trio, warm) is before


async def test_a_host_that_was_waited_for_in_vain_has_no_report_until_the_next(trio: Region, warm: WarmHosts) -> None:
    host_id = min(trio.hosts)
    async with trio.pool.connection() as connection:
        await hosts.mark_silent(connection, host_id)
        assert (await warm.look(connection)).hosts.at(0).reported == 0

        await reports.record_report(connection, HostReport(host_id, 2, 4096, 100))
        moment = await warm.look(connection)

    assert 0 <= moment.now - moment.hosts.at(0).reported < 60


async def test_a_claim_is_seen_by_the_next_look(trio: Region, warm: WarmHosts) -> None:
    order, host_id = await trio.order(), min(trio.hosts)
    await seen(trio, warm)
    async with trio.pool.connection() as connection:
        assert await claims.take(connection, order, host_id, {}) is not None
        assert (await warm.look(connection)).hosts.at(0).used_cores == order.resources.cores


async def test_an_unknown_location_is_named(trio: Region) -> None:
    with pytest.raises(NotFound, match="location nowhere is not in the books"):
        await seen(trio, WarmHosts("nowhere"))


async def test_books_that_are_not_up_to_date_end_no_keeping_warm(
    trio: Region, warm: WarmHosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A region worker that starts before the books are migrated keeps its hosts warm afterwards."""
    monkeypatch.setattr(warm_hosts, "EVERY", 0.01)
    caplog.set_level(logging.DEBUG, warm_hosts.__name__)
    await trio.execute("ALTER TABLE hosts_gone RENAME TO away")
    keeping = asyncio.create_task(warm.keep_warm(trio.pool))

    async def tried() -> bool:
        return keeping.done() or "are not looked at" in caplog.text

    try:
        await eventually(tried)
        assert not keeping.done()
    finally:
        keeping.cancel()
        await trio.execute("ALTER TABLE away RENAME TO hosts_gone")
