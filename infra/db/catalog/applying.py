"""A catalog applied: planned, shown, and written in one transaction, if the books are still as they were."""

from __future__ import annotations

from collections.abc import Sequence

from infra.db.catalog.books import present
from infra.db.catalog.writing import write
from infra.db.pool import Connection
from infra.domain.catalog import Asked, Plan, plan
from infra.domain.errors import Conflict

EMPTY = """
SELECT NOT EXISTS (SELECT FROM server_types) AS server_types,
       NOT EXISTS (SELECT FROM load_balancer_types) AS load_balancer_types"""


async def lock(connection: Connection) -> None:
    """Keep others from changing the catalog until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('catalog'))")


async def empty_sections(connection: Connection) -> set[str]:
    """Those that a new installation begins with, and of which there is nothing yet."""
    row = await (await connection.execute(EMPTY)).fetchone()
    assert row is not None, "it always gives one row"
    return {section for section, empty in row.items() if empty}


async def plan_of(connection: Connection, asked: Sequence[Asked]) -> Plan:
    """What would be written. Unfit: it cannot be."""
    return plan(await present(connection), asked)


async def apply(connection: Connection, asked: Sequence[Asked], shown: Plan | None = None) -> Plan:
    """All of it or nothing. Conflict: the books are no longer those that the plan was ``shown`` for."""
    async with connection.transaction():
        await lock(connection)
        found = await plan_of(connection, asked)
        if shown is not None and found != shown:
            raise Conflict("the catalog was changed since the plan was shown; nothing was applied: look at it again")
        for change in found.changes:
            await write(connection, change)
    return found
