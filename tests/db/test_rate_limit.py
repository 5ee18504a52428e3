"""Who may ask, and how often: exact to the request, however many ask at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from infra.db import keys, rate_limit
from infra.db.pool import Pool
from infra.db.rate_limit import Admitted
from infra.domain.rate_limit import Pace
from tests.db.conftest import SECRET, rows

SLOW = Pace(4, timedelta(hours=1))
"""Nothing comes back while a test runs."""


class Books:
    """One user's key, and another's."""

    def __init__(self, pool: Pool, key: str, other: str) -> None:
        self.pool, self.key, self.other = pool, key, other

    async def admit(self, asked: int = 1, pace: Pace | None = SLOW, key: str | None = None) -> Admitted | None:
        async with self.pool.connection() as connection:
            return await rate_limit.admit(connection, keys.digest_of(SECRET, key or self.key), asked, pace)

    async def granted(self, asked: int = 1, pace: Pace | None = SLOW, key: str | None = None) -> int:
        admitted = await self.admit(asked, pace, key)
        assert admitted is not None
        assert admitted.verdicts is not None
        return sum(not verdict.wait for verdict in admitted.verdicts)

    async def all(self, query: str) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            return await rows(connection, query)


@pytest_asyncio.fixture
async def books(pool: Pool) -> AsyncIterator[Books]:
    async with pool.connection() as connection:
        key = await keys.make_key(connection, SECRET, user="ada", project="engine", name="laptop")
        other = await keys.make_key(connection, SECRET, user="bob", project="engine", name="laptop")
    yield Books(pool, key, other)


async def test_a_burst_then_nothing_and_each_user_alone(books: Books) -> None:
    assert [await books.granted() for _ in range(6)] == [1, 1, 1, 1, 0, 0]
    assert await books.granted(key=books.other) == 1


async def test_those_who_ask_together_get_what_is_left(books: Books) -> None:
    assert [await books.granted(asked=3) for _ in range(3)] == [3, 1, 0]
    assert await books.granted(asked=9, key=books.other) == 4


async def test_all_keys_of_a_user_take_from_one_bucket(books: Books) -> None:
    async with books.pool.connection() as connection:
        second = await keys.make_key(connection, SECRET, user="ada", project="another", name="phone", read_only=True)

    assert await books.granted(asked=3) == 3
    assert await books.granted(asked=3, key=second) == 1
    admitted = await books.admit(key=second)
    assert admitted is not None
    assert admitted.caller.read_only


async def test_a_race_lets_exactly_the_burst_through(books: Books) -> None:
    granted = await asyncio.gather(
        *(books.granted(asked=1 + number % 3, pace=Pace(50, SLOW.interval)) for number in range(60))
    )
    assert sum(granted) == 50


async def test_over_time_the_rate_comes_through_and_no_more(books: Books) -> None:
    pace = Pace(20, timedelta(milliseconds=5))

    async def ask_until(end: float) -> int:
        passed = 0
        while time.monotonic() < end:
            passed += await books.granted(pace=pace)
        return passed

    began = time.monotonic()  # before the bucket is emptied: what flows in from then on may pass
    assert await books.granted(asked=20, pace=pace) == 20
    passed = sum(await asyncio.gather(*(ask_until(began + 1) for _ in range(4))))
    ended = time.monotonic()
    assert 0.5 * 200 <= passed <= (ended - began) * 200 + 1  # a busy machine asks too seldom to get all of it


async def test_what_is_told_is_true(books: Books) -> None:
    pace = Pace(2, timedelta(milliseconds=300))
    assert await books.granted(asked=2, pace=pace) == 2
    refused = await books.admit(pace=pace)
    assert refused is not None
    assert refused.verdicts is not None
    (verdict,) = refused.verdicts
    assert 0 < verdict.wait <= 0.3
    assert timedelta() < verdict.full_at - datetime.now(UTC) <= pace.burst
    await asyncio.sleep(verdict.wait)
    assert await books.granted(pace=pace) == 1


async def test_a_clock_that_was_set_back_locks_nobody_out(books: Books) -> None:
    await books.granted()
    await books.all("UPDATE buckets SET full_at = now() + interval '1 year'")

    assert await books.granted(pace=Pace(4, timedelta(milliseconds=1))) == 0
    await asyncio.sleep(0.005)
    assert await books.granted(pace=Pace(4, timedelta(milliseconds=1))) == 1


@pytest.mark.parametrize("end", ["revoked = now()", "expires = now() - interval '1 second'", "expires = now()"])
async def test_a_key_ends_at_once(books: Books, end: str) -> None:
    assert await books.admit() is not None
    await books.all(f"UPDATE api_keys SET {end} WHERE name = 'laptop'")

    assert await books.admit() is None
    assert await books.admit(pace=None) is None
    async with books.pool.connection() as connection:
        assert await keys.caller_of(connection, keys.digest_of(SECRET, books.key)) is None


async def test_a_key_that_expires_later_is_good_until_then(books: Books) -> None:
    await books.all("UPDATE api_keys SET expires = now() + interval '1 hour'")
    assert await books.admit() is not None


async def test_a_key_that_is_none_takes_nothing(books: Books) -> None:
    assert await books.admit(key="x" * 64) is None
    assert await books.all("SELECT * FROM buckets") == []


async def test_no_limit_is_no_bucket(books: Books) -> None:
    admitted = await books.admit(pace=None)
    assert admitted is not None
    assert admitted.verdicts is None
    assert await books.all("SELECT * FROM buckets") == []


@pytest.mark.parametrize("pace", [SLOW, None])
async def test_the_last_use_is_kept_to_the_minute(books: Books, pace: Pace | None) -> None:
    async def last_use() -> Any:
        (row,) = await books.all("SELECT last_used, xmin FROM api_keys ORDER BY id LIMIT 1")
        return row

    assert (await last_use())["last_used"] is None
    await books.admit(pace=pace)
    first = await last_use()
    assert datetime.now(UTC) - first["last_used"] < timedelta(minutes=1)
    await books.admit(pace=pace)
    assert await last_use() == first  # not written again

    await books.all("UPDATE api_keys SET last_used = last_used - interval '61 seconds'")
    await books.admit(pace=pace)
    assert (await last_use())["last_used"] > first["last_used"]


async def test_taking_again_and_again_stays_on_the_page(books: Books) -> None:
    """An update that leaves the page is written into the index as well, and grows both."""

    async def tuples() -> dict[str, Any]:
        (row,) = await books.all("SELECT pg_relation_size('buckets') AS size, pg_relation_size('buckets_pkey') AS pkey")
        return row

    await books.admit()
    before = await tuples()
    for _ in range(500):
        await books.admit(pace=Pace(1000, timedelta(milliseconds=1)))
    assert await tuples() == before
