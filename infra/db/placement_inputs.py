"""What placements were decided on, kept for a week or as long as there is room, so that anyone can decide them again.

Kept after the claim and beside it: nobody waits for a note, and one that is lost costs an explanation, no server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Error
from psycopg.types.json import Jsonb

from infra.db.pool import Connection, Pool
from infra.domain.errors import Conflict
from infra.domain.host_packing import pack, pack_change, unpack, unpack_change
from infra.domain.host_table import HostTable
from infra.domain.models import PlacementRequest
from infra.domain.placement import Ask, Ranking
from infra.domain.placement_record import ask_of

log = logging.getLogger(__name__)

MOST = 100
"""Notes that may wait: each holds a table of hosts in memory."""
SHARED = 1.0
"""Seconds for which decisions share a table: what changed since is small by then."""

KEEP = """
INSERT INTO placement_inputs (server_id, epoch, host_id, ask, hosts_id, changed, digest)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (server_id, epoch) DO UPDATE SET host_id = excluded.host_id, ask = excluded.ask,
    hosts_id = excluded.hosts_id, changed = excluded.changed, digest = excluded.digest, created = excluded.created
"""

FIND = """
SELECT i.*, h.hosts FROM placement_inputs i JOIN placement_hosts h ON h.id = i.hosts_id
WHERE i.server_id = %s ORDER BY i.epoch DESC LIMIT 1
"""

MOST_BYTES = 4 * 2**30
"""Of packed tables. A table of ten thousand hosts is 0.4 MB, and there may be one a second of each region worker."""

FORGET = "DELETE FROM placement_hosts WHERE created < now() - interval '7 days'"

# What the table takes on the disk is known at once; only when that is too much is it worth reading all the lengths.
FORGET_MORE = """
DELETE FROM placement_hosts h USING (
    SELECT id, sum(octet_length(hosts)) OVER (ORDER BY id DESC) AS bytes FROM placement_hosts
    WHERE (SELECT pg_total_relation_size('placement_hosts')) > %(most)s
) newest
WHERE newest.id = h.id AND newest.bytes > %(most)s
"""


@dataclass(frozen=True, slots=True)
class Note:
    """A decision that was just made. ``host_id`` None: no host fitted."""

    request: PlacementRequest
    ranking: Ranking
    host_id: int | None


@dataclass(frozen=True, slots=True)
class Input:
    """A decision's input as it was kept. ``digest``: of all of it, as the decision told it."""

    epoch: int
    host_id: int | None
    created: datetime
    hosts: HostTable
    ask: Ask
    digest: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A table that is in the books, and until when others refer to it."""

    id: int
    hosts: HostTable
    until: float


class Notes:
    """Those of one process, written one after the other as they come."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[Note] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._shared: Shared | None = None

    def keep(self, note: Note) -> None:
        """Soon; not at all when too many wait."""
        if len(self._waiting) >= MOST:
            log.warning("what a placement was decided on is not kept: too many are to be written")
            return
        self._waiting.append(note)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def written(self) -> None:
        """Once nothing waits any more."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        try:
            while self._waiting:  # one may come while the connection is given back
                async with self._pool.connection() as connection:
                    while self._waiting:
                        await self._put(connection, self._waiting.popleft())
        except Error as error:
            log.warning("what placements were decided on is not kept: %s", error)
            self._waiting.clear()

    async def _put(self, connection: Connection, note: Note) -> None:
        ranking, request = note.ranking, note.request
        shared, changed = await self._share(connection, ranking.hosts)
        ask = Jsonb(ranking.ask.as_json())
        await connection.execute(
            KEEP, (request.order.server_id, request.epoch, note.host_id, ask, shared.id, changed, ranking.digest)
        )

    async def _share(self, connection: Connection, hosts: HostTable) -> tuple[Shared, bytes]:
        """A table in the books, and what of it is not as in ``hosts``."""
        if self._shared is not None and time.monotonic() < self._shared.until:
            changed = pack_change(hosts, self._shared.hosts)
            if changed is not None:
                return self._shared, changed
        packed = await asyncio.to_thread(pack, hosts)
        row = await (
            await connection.execute("INSERT INTO placement_hosts (hosts) VALUES (%s) RETURNING id", (packed,))
        ).fetchone()
        assert row is not None, "INSERT ... RETURNING returns a row or raises"
        self._shared = Shared(int(row["id"]), hosts, time.monotonic() + SHARED)
        nothing = pack_change(hosts, hosts)
        assert nothing is not None, "no host came or went"
        return self._shared, nothing


async def find(connection: Connection, server_id: int) -> Input | None:
    """Of the server's newest placement, whether it was placed or refused; None: nothing is kept (any more). Conflict:
    what is kept was kept by a version that decided on other things."""
    row = await (await connection.execute(FIND, (server_id,))).fetchone()
    return _input(row) if row else None


async def forget_old(connection: Connection, most: int = MOST_BYTES) -> None:
    """What is older than a week, and of the rest the oldest, until the tables take ``most`` bytes."""
    await connection.execute(FORGET)
    await connection.execute(FORGET_MORE, {"most": most})


def _input(row: Mapping[str, Any]) -> Input:
    try:
        hosts, ask = unpack_change(row["changed"], unpack(row["hosts"])), ask_of(row["ask"])
    except (KeyError, TypeError, ValueError) as cause:
        raise of_another_version(row["server_id"]) from cause
    return Input(row["epoch"], row["host_id"], row["created"], hosts, ask, row["digest"])


def of_another_version(server_id: int) -> Conflict:
    return Conflict(
        f"server {server_id} was placed by another version, which decides otherwise;"
        " --now places it with the hosts as they are"
    )
