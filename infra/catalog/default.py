"""What an installation offers before its operator says anything."""

from __future__ import annotations

from collections.abc import Iterable

from infra.db.locations import ensure_location
from infra.db.pool import Connection

# (name, cores, memory in MiB, disk in GiB): each about twice the one before.
LADDER = (
    ("px1", 1, 256, 2),
    ("px2", 1, 512, 5),
    ("px3", 2, 1024, 10),
    ("px4", 2, 2048, 20),
    ("px5", 4, 4096, 40),
)


async def ensure_server_types(connection: Connection, ladder: Iterable[tuple[str, int, int, int]] = LADDER) -> None:
    """The default plans; one that exists stays as the operator made it."""
    for name, cores, memory, disk in ladder:
        size = f"{memory // 1024} GiB" if memory >= 1024 else f"{memory} MiB"
        await connection.execute(
            "INSERT INTO server_types (name, description, cores, memory_mib, disk_gib) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (name) DO NOTHING",
            (name, f"{cores} vCPU, {size} memory, {disk} GiB disk", cores, memory, disk),
        )


async def ensure_catalogue(connection: Connection, location: str) -> int:
    """What every installation offers: one location and the default plans. Returns the location's id."""
    async with connection.transaction():
        await ensure_server_types(connection)
        return await ensure_location(connection, location)
