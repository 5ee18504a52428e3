"""The hosts of a location, kept warm in a process: what changed since the last look is read, not ten thousand rows.

A look takes what was written since the snapshot of the look before (each host carries the id of the transaction that
wrote it), so it never misses a write that was committed late. The table says where to try; whether there is room only
the claim knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncCursor, Error
from psycopg.rows import DictRow

from infra.db.pool import Connection, Pool
from infra.domain.errors import NotFound
from infra.domain.host_table import HostTable, HostView

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks when nothing is placed: at ten thousand hosts some three hundred report in that time."""

EVERYTHING = "0"

COLUMNS = """
h.id, h.state, h.architecture, h.availability_zone, h.rack, h.switch, floor(h.cores * h.overcommit)::int AS cores,
h.memory_mib, h.disk_gib, h.used_cores, h.used_memory_mib, h.used_disk_gib,
coalesce(h.free_memory_mib, -1) AS free_memory_mib, coalesce(h.free_disk_gib, -1) AS free_disk_gib,
h.cpu_busy, h.io_wait, h.net_saturation,
CASE WHEN h.silent IS NULL OR h.silent < h.reported THEN coalesce(extract(epoch FROM h.reported), 0) ELSE 0 END::float8
    AS reported
"""

# The snapshot first: what it does not see yet is read by the next look, whatever the second statement saw of it.
MOMENT = """
SELECT l.density_target, coalesce(g.hosts, 0) AS hosts_gone, extract(epoch FROM now())::float8 AS now,
       pg_snapshot_xmin(pg_current_snapshot())::text AS since
FROM locations l LEFT JOIN hosts_gone g ON g.location_id = l.id WHERE l.name = %(location)s
"""

CHANGED = f"""
SELECT {COLUMNS} FROM hosts h JOIN locations l ON l.id = h.location_id
WHERE l.name = %(location)s AND h.changed >= %(since)s::xid8 ORDER BY h.id
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """The hosts as they are ``now``, in seconds of the books' clock since 1970. ``rows``: of what was asked besides."""

    hosts: HostTable
    now: float
    density_target: float
    rows: list[list[DictRow]]


Question = tuple[str, Mapping[str, Any]]
EMPTY = HostTable.of(())


class WarmHosts:
    """One for each location that a process places in."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._hosts = EMPTY
        self._since = EVERYTHING
        self._gone: int | None = None
        self._one_by_one = asyncio.Lock()  # an older look that is taken in later would turn hosts back

    async def look(self, connection: Connection, *besides: Question) -> Moment:
        """The table, brought up to date, and ``besides`` in the same round trip. NotFound: no such location."""
        async with self._one_by_one:
            async with connection.pipeline():
                moments = await connection.execute(MOMENT, {"location": self.location})
                changes = await self._changes(connection)
                asked = [await connection.execute(query.encode(), values) for query, values in besides]
            moment = await moments.fetchone()
            if moment is None:
                raise NotFound(f"location {self.location} is not in the books")
            # Hosts that went do not tell, and restored books count their transactions anew: all are read again.
            if self._gone not in (None, moment["hosts_gone"]) or int(moment["since"]) < int(self._since):
                self._hosts, self._since = EMPTY, EVERYTHING
                changes = await self._changes(connection)
            self._hosts = self._hosts.with_hosts([HostView(**row) for row in await changes.fetchall()])
            self._since, self._gone = moment["since"], moment["hosts_gone"]
            rows = [await cursor.fetchall() for cursor in asked]
            return Moment(self._hosts, moment["now"], moment["density_target"], rows)

    async def keep_warm(self, pool: Pool) -> None:
        """Look, again and again, for ever, so that a decision has little to read."""
        while True:
            try:
                async with pool.connection() as connection:
                    await self.look(connection)
            except (Error, NotFound) as error:  # decisions will say so themselves
                log.debug("the hosts of %s are not looked at: %s", self.location, error)
            await asyncio.sleep(EVERY)

    async def _changes(self, connection: Connection) -> AsyncCursor[DictRow]:
        return await connection.execute(CHANGED, {"location": self.location, "since": self._since})
