"""A catalog applied: planned, shown, and written in one transaction, if the books are still as they were."""

from __future__ import annotations

from collections.abc import Sequence

from infra.catalog.books import present
from infra.catalog.writing import write
from infra.db.pool import Connection
from infra.domain.catalog import Asked, Plan, plan
from infra.domain.errors import Conflict


async def plan_of(connection: Connection, asked: Sequence[Asked]) -> Plan:
    """What would be written. Unfit: it cannot be."""
    return plan(await present(connection), asked)


async def apply(connection: Connection, asked: Sequence[Asked], shown: Plan | None = None) -> Plan:
    """All of it or nothing. Conflict: the books are no longer those that the plan was ``shown`` for."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('catalog'))")
        found = await plan_of(connection, asked)
        if shown is not None and found != shown:
            raise Conflict("the catalog was changed since the plan was shown; nothing was applied: look at it again")
        for change in found.changes:
            await write(connection, change)
    return found
