"""Claims on hosts: one guarded UPDATE, which is the only way to room on a host.

A claim carries the epoch that was asked for, higher than any before; its release closes that epoch, so that neither
touches another claim when it comes late. The claim and the host's counters change in one statement, so that at every
moment a host's used capacity is the sum of its claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from infra.db.pool import Connection
from infra.domain.models import Claim, ServerOrder, Tombstone

OF_SERVER = "SELECT server_id, host_id, epoch FROM claims WHERE server_id = %s"

TAKE = """
WITH alive AS MATERIALIZED (
    SELECT id, project_id, placement_group_id FROM servers WHERE id = %(server_id)s AND epoch < %(epoch)s FOR UPDATE
), taken AS (
    UPDATE hosts SET used_cores = used_cores + %(cores)s, used_memory_mib = used_memory_mib + %(memory_mib)s,
                     used_disk_gib = used_disk_gib + %(disk_gib)s
    WHERE id = %(host_id)s AND (SELECT count(*) FROM alive) = 1
      AND state = 'accepting' AND (silent IS NULL OR silent < reported)
      AND NOT EXISTS (SELECT FROM claims c JOIN alive USING (placement_group_id) WHERE c.host_id = hosts.id)
      AND used_cores + %(cores)s <= floor(cores * overcommit)
      AND used_memory_mib + %(memory_mib)s <= memory_mib AND used_disk_gib + %(disk_gib)s <= disk_gib
    RETURNING id
), raised AS (
    UPDATE servers SET epoch = %(epoch)s FROM taken WHERE servers.id = %(server_id)s RETURNING epoch
)
INSERT INTO claims (server_id, host_id, epoch, cores, memory_mib, disk_gib, decision, project_id,
                    placement_group_id)
SELECT %(server_id)s, taken.id, raised.epoch, %(cores)s, %(memory_mib)s, %(disk_gib)s, %(decision)s,
       alive.project_id, alive.placement_group_id
FROM taken, raised, alive
RETURNING server_id, host_id, epoch
"""

RELEASE = """
WITH closed AS (
    UPDATE servers SET epoch = greatest(epoch, %(epoch)s) WHERE id = %(server_id)s RETURNING id
), freed AS (
    DELETE FROM claims USING closed WHERE server_id = closed.id AND claims.epoch <= %(epoch)s
    RETURNING host_id, cores, memory_mib, disk_gib
)
UPDATE hosts SET used_cores = used_cores - freed.cores, used_memory_mib = used_memory_mib - freed.memory_mib,
                 used_disk_gib = used_disk_gib - freed.disk_gib
FROM freed WHERE hosts.id = freed.host_id
"""

BURY = """
INSERT INTO tombstones (host_id, server_id, epoch) VALUES (%s, %s, %s)
ON CONFLICT (host_id, server_id) DO UPDATE SET epoch = greatest(tombstones.epoch, excluded.epoch)
"""


@dataclass(frozen=True, slots=True)
class Placed:
    """``decision``: infra.domain.placement.Ranking.as_json(), as it was when the host was claimed."""

    host_id: int
    decision: dict[str, Any]
    created: datetime


async def of_server(connection: Connection, server_id: int) -> Claim | None:
    row = await (await connection.execute(OF_SERVER, (server_id,))).fetchone()
    return Claim(**row) if row else None


async def placed(connection: Connection, server_id: int) -> Placed | None:
    row = await (
        await connection.execute("SELECT host_id, decision, created FROM claims WHERE server_id = %s", (server_id,))
    ).fetchone()
    return Placed(**row) if row else None


async def take(
    connection: Connection, order: ServerOrder, host_id: int, decision: dict[str, Any], epoch: int = 1
) -> Claim | None:
    """Claim the host; None when it has no room any more, takes no servers now, holds one of the server's placement
    group, or the epoch is not the newest."""
    parameters = {
        "epoch": epoch,
        "server_id": order.server_id,
        "host_id": host_id,
        "cores": order.resources.cores,
        "memory_mib": order.resources.memory_mib,
        "disk_gib": order.resources.disk_gib,
        "decision": Jsonb(decision),
    }
    try:
        row = await (await connection.execute(TAKE, parameters)).fetchone()
    except UniqueViolation as violation:
        if violation.diag.constraint_name == "claims_spread":  # another of its group came in at the same moment
            return None
        raise
    return Claim(**row) if row else None


EVERY = 2**31 - 1


async def release(connection: Connection, server_id: int, epoch: int = EVERY) -> None:
    """Give back the server's hold on its host, unless it is newer; holding none is fine."""
    await connection.execute(RELEASE, {"server_id": server_id, "epoch": epoch})


async def bury(connection: Connection, tombstone: Tombstone) -> None:
    await connection.execute(BURY, (tombstone.host_id, tombstone.server_id, tombstone.epoch))
