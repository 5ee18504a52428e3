"""Limits: how much of everything a project may hold at a time. What it holds already stays, also above a new limit."""

from __future__ import annotations

from dataclasses import dataclass

from infra.db.pool import Connection
from infra.domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class Limits:
    """Memory in MiB, disk in GiB. None: as it is."""

    servers: int | None = None
    cores: int | None = None
    memory_mib: int | None = None
    disk_gib: int | None = None


async def set_limits(connection: Connection, project_id: int, limits: Limits) -> Limits:
    """Change what is given and return all of them. NotFound: no such project."""
    found = await connection.execute(
        "UPDATE quotas SET max_servers = coalesce(%s, max_servers), max_cores = coalesce(%s, max_cores),"
        " max_memory_mib = coalesce(%s, max_memory_mib), max_disk_gib = coalesce(%s, max_disk_gib)"
        " WHERE scope = 'project' AND subject_id = %s"
        " RETURNING max_servers AS servers, max_cores AS cores, max_memory_mib AS memory_mib, max_disk_gib AS disk_gib",
        (limits.servers, limits.cores, limits.memory_mib, limits.disk_gib, project_id),
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound(f"there is no project {project_id}")
    return Limits(**row)
