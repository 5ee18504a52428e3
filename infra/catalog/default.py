"""What an installation offers before its operator says anything: default.yaml, for the sections that are empty."""

from __future__ import annotations

from pathlib import Path

from infra.catalog.file import read
from infra.catalog.source import Source
from infra.db.catalog.applying import apply, empty_sections, lock
from infra.db.locations import ensure_location
from infra.db.pool import Connection
from infra.domain.catalog import Asked

FILE = Path(__file__).with_name("default.yaml")


def default_catalog() -> list[Asked]:
    return read(Source(FILE.read_text(), FILE.name))


async def ensure_catalogue(connection: Connection, location: str) -> int:
    """The default types where there are none of a kind, and the location; its id. What an operator made of it stays."""
    async with connection.transaction():
        if await empty_sections(connection):
            await lock(connection)
            empty = await empty_sections(connection)  # others may have been quicker
            await apply(connection, [one for one in default_catalog() if one.section in empty])
        return await ensure_location(connection, location)
