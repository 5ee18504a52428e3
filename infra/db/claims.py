"""Hosts as placement sees them, and claims on them: one guarded UPDATE, which is the only way to room on a host.

A claim carries the epoch that was asked for, higher than any before; its release closes that epoch, so that neither
touches another claim when it comes late. The claim and the host's counters change in one statement, so that at every
moment a host's used capacity is the sum of its claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from infra.db.pool import Connection
from infra.domain.models import Claim, ServerOrder, Tombstone
from infra.domain.placement import HostView

HOSTS = """
WITH mine AS (
    SELECT h.rack, h.switch, count(*) AS servers
    FROM claims c JOIN servers s ON s.id = c.server_id JOIN hosts h ON h.id = c.host_id
    WHERE s.project_id = %(project_id)s AND s.id <> %(server_id)s
    GROUP BY h.rack, h.switch
)
SELECT h.id, l.name AS location, h.state, h.architecture, h.cores, h.overcommit, h.memory_mib, h.disk_gib,
       h.used_cores, h.used_memory_mib, h.used_disk_gib, h.io_wait, h.net_saturation,
       CASE WHEN h.silent IS NULL OR h.silent < h.reported THEN extract(epoch FROM now() - h.reported)::float8 END
           AS report_age_s, h.rack, h.switch,
       coalesce((SELECT sum(servers) FROM mine WHERE mine.rack = h.rack), 0)::int AS project_servers_in_rack,
       coalesce((SELECT sum(servers) FROM mine WHERE mine.switch = h.switch), 0)::int AS project_servers_in_switch
FROM hosts h JOIN locations l ON l.id = h.location_id WHERE l.name = %(location)s
"""

DENSITY_TARGET = "SELECT density_target FROM locations WHERE name = %(location)s"

OF_SERVER = "SELECT server_id, host_id, epoch FROM claims WHERE server_id = %s"

TAKE = """
WITH alive AS MATERIALIZED (
    SELECT id FROM servers WHERE id = %(server_id)s AND epoch < %(epoch)s FOR UPDATE
), taken AS (
    UPDATE hosts SET used_cores = used_cores + %(cores)s, used_memory_mib = used_memory_mib + %(memory_mib)s,
                     used_disk_gib = used_disk_gib + %(disk_gib)s
    WHERE id = %(host_id)s AND (SELECT count(*) FROM alive) = 1
      AND state = 'accepting' AND (silent IS NULL OR silent < reported)
      AND used_cores + %(cores)s <= floor(cores * overcommit)
      AND used_memory_mib + %(memory_mib)s <= memory_mib AND used_disk_gib + %(disk_gib)s <= disk_gib
    RETURNING id
), raised AS (
    UPDATE servers SET epoch = %(epoch)s FROM taken WHERE servers.id = %(server_id)s RETURNING epoch
)
INSERT INTO claims (server_id, host_id, epoch, cores, memory_mib, disk_gib, decision)
SELECT %(server_id)s, taken.id, raised.epoch, %(cores)s, %(memory_mib)s, %(disk_gib)s, %(decision)s FROM taken, raised
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
class Region:
    """What placement decides on."""

    claim: Claim | None
    """Held already: an earlier try took effect and its answer was lost."""
    density_target: float
    hosts: list[HostView]


@dataclass(frozen=True, slots=True)
class Placed:
    """``decision``: infra.domain.placement.Decision.as_json(), as it was when the host was claimed."""

    host_id: int
    decision: dict[str, Any]
    created: datetime


async def region(connection: Connection, order: ServerOrder) -> Region:
    """The hosts of the order's location, as they are now, and the claim it has already. No hosts: none are there."""
    parameters = {"project_id": order.project_id, "server_id": order.server_id, "location": order.location}
    async with connection.pipeline():  # one round trip for all three
        claims = await connection.execute(OF_SERVER, (order.server_id,))
        locations = await connection.execute(DENSITY_TARGET, parameters)
        hosts = await connection.execute(HOSTS, parameters)
    claim, location = await claims.fetchone(), await locations.fetchone()
    return Region(
        claim=Claim(**claim) if claim else None,
        density_target=location["density_target"] if location else 0.75,
        hosts=[HostView(**row) for row in await hosts.fetchall()],
    )


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
    """Claim the host; None when it has no room any more, takes no servers now, or the epoch is not the newest."""
    parameters = {
        "epoch": epoch,
        "server_id": order.server_id,
        "host_id": host_id,
        "cores": order.resources.cores,
        "memory_mib": order.resources.memory_mib,
        "disk_gib": order.resources.disk_gib,
        "decision": Jsonb(decision),
    }
    row = await (await connection.execute(TAKE, parameters)).fetchone()
    return Claim(**row) if row else None


EVERY = 2**31 - 1


async def release(connection: Connection, server_id: int, epoch: int = EVERY) -> None:
    """Give back the server's hold on its host, unless it is newer; holding none is fine."""
    await connection.execute(RELEASE, {"server_id": server_id, "epoch": epoch})


async def bury(connection: Connection, tombstone: Tombstone) -> None:
    await connection.execute(BURY, (tombstone.host_id, tombstone.server_id, tombstone.epoch))
