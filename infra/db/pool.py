"""The connection pool: one per process, rows as dicts by column, opened without waiting for the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from infra.domain.errors import Unavailable

T = TypeVar("T")

SILENCE = 20.0
"""Seconds after which a database that says nothing is away: a network that drops packets would keep a request for a
quarter of an hour. What we ask takes milliseconds; a lock may be waited for as long as a local step may take."""


class Silent(OperationalError):
    """The database said nothing for ``SILENCE`` seconds."""


class Connection(AsyncConnection[DictRow]):
    """A connection that waits for no answer longer than ``SILENCE``: then it is closed, and Silent raised."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            async with asyncio.timeout(SILENCE):
                return await super().wait(gen, interval, timeout)
        except TimeoutError as cause:
            self.pgconn.finish()
            raise Silent(f"the database said nothing for {SILENCE:g} s") from cause


Pool = AsyncConnectionPool[Connection]


QUICK = 4
"""Connections of a quick pool: what is asked on them takes well under a millisecond."""


@asynccontextmanager
async def open_pool(url: str, size: int = 20, name: str = "puchify") -> AsyncIterator[Pool]:
    """A pool on ``url``, opened without waiting for the database: a request fails with Unavailable while it is away."""
    async with _opened(_pool(url, size, name, check=AsyncConnectionPool.check_connection)) as pool:
        yield pool


@asynccontextmanager
async def open_quick_pool(url: str, name: str) -> AsyncIterator[Pool]:
    """For what is asked with every request, beside the work of requests: a connection is not tried before it is used,
    so it may turn out dead, and a commit does not wait for the disk, so a crash may lose it."""
    async with _opened(_pool(url, QUICK, name, configure=_hasten)) as pool:
        yield pool


async def _hasten(connection: Connection) -> None:
    await connection.execute("SET synchronous_commit = off")


def _pool(url: str, size: int, name: str, **options: Any) -> Pool:
    return AsyncConnectionPool(
        url,
        connection_class=Connection,
        kwargs={"row_factory": dict_row, "autocommit": True, "application_name": name},
        min_size=2,
        max_size=size,
        timeout=10,
        reconnect_timeout=10,  # then the next request tries anew; the pool's own pauses grow to minutes
        open=False,
        **options,
    )


@asynccontextmanager
async def _opened(pool: Pool) -> AsyncIterator[Pool]:
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close()


async def ping(pool: Pool) -> None:
    """Unavailable when the database does not answer."""
    try:
        async with pool.connection(timeout=2) as connection:
            await connection.execute("SELECT 1")
    except Exception as cause:
        raise Unavailable("the database does not answer") from cause
