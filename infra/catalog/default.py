"""What an installation offers before its operator says anything: default.yaml, for the sections that are empty."""

from __future__ import annotations

from pathlib import Path

from infra.catalog.applying import apply
from infra.catalog.file import read
from infra.catalog.source import Source
from infra.db.locations import ensure_location
from infra.db.pool import Connection
from infra.domain.catalog import Asked

FILE = Path(__file__).with_name("default.yaml")
EMPTY = """
SELECT NOT EXISTS (SELECT FROM server_types) AS server_types,
       NOT EXISTS (SELECT FROM load_balancer_types) AS load_balancer_types"""


def default_catalog() -> list[Asked]:
    return read(Source(FILE.read_text(), FILE.name))


async def ensure_catalogue(connection: Connection, location: str) -> int:
    """The default types where there are none of a kind, and the location; its id. What an operator made of it stays."""
    async with connection.transaction():
        empty = await _empty(connection)
        if any(empty.values()):
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('catalog'))")
            empty = await _empty(connection)  # others may have been quicker
            await apply(connection, [one for one in default_catalog() if empty[one.section]])
        return await ensure_location(connection, location)


async def _empty(connection: Connection) -> dict[str, bool]:
    row = await (await connection.execute(EMPTY)).fetchone()
    assert row is not None, "it always gives one row"
    return {**row}
