"""Healing: one guarded change for each kind of leak that can be put right without asking anybody.

A leak is healed by what the books say now, not by what the audit saw: each change asks again, under the locks that
every writer of these rows takes. What cannot be made up for (a running server that lacks something) is only told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from infra.db import orders, quotas, records
from infra.db.ledger import Finding, Limits
from infra.db.ledger.books import NOBODY_HAS_THE_LOCK
from infra.db.pool import Connection
from infra.domain.models import DELETED, LATE

RECOUNT_QUOTA = """
UPDATE quotas q SET used_servers = r.servers, used_cores = r.cores, used_memory_mib = r.memory_mib,
                    used_disk_gib = r.disk_gib
FROM (SELECT count(*) AS servers, coalesce(sum(r.cores), 0) AS cores, coalesce(sum(r.memory_mib), 0) AS memory_mib,
             coalesce(sum(r.disk_gib), 0) AS disk_gib
      FROM quota_reservations r
      WHERE %(subject)s IN ('user ' || r.user_id, 'project ' || r.project_id)) r
WHERE q.scope || ' ' || q.subject_id = %(subject)s
  AND (q.used_servers, q.used_cores, q.used_memory_mib, q.used_disk_gib)
      IS DISTINCT FROM (r.servers, r.cores, r.memory_mib, r.disk_gib)
"""

RECOUNT_HOST = """
UPDATE hosts h SET used_cores = c.cores, used_memory_mib = c.memory_mib, used_disk_gib = c.disk_gib,
                   room_cores = greatest(h.room_cores, c.cores),
                   room_memory_mib = greatest(h.room_memory_mib, c.memory_mib),
                   room_disk_gib = greatest(h.room_disk_gib, c.disk_gib)
FROM (SELECT coalesce(sum(cores), 0) AS cores, coalesce(sum(memory_mib), 0) AS memory_mib,
             coalesce(sum(disk_gib), 0) AS disk_gib
      FROM claims WHERE host_id = %(host_id)s) c
WHERE h.id = %(host_id)s
  AND (h.used_cores, h.used_memory_mib, h.used_disk_gib) IS DISTINCT FROM (c.cores, c.memory_mib, c.disk_gib)
"""

# The lock is the one that was looked at: an operation that takes it in the meantime keeps it.
UNLOCK = f"""
UPDATE servers SET locked_by = NULL
FROM (SELECT s.id, s.locked_by FROM servers s
      WHERE s.id = %(server_id)s AND s.status NOT IN ('initializing', 'deleting') AND {NOBODY_HAS_THE_LOCK}) stale
WHERE servers.id = stale.id AND servers.locked_by = stale.locked_by
"""

# Up to the epoch that the server has reached: placed here once more, it keeps what is its own. Of a server that is
# gone, everything.
BURY = """
INSERT INTO tombstones (host_id, server_id, epoch)
SELECT b.host_id, b.server_id, coalesce(s.epoch, 2147483647)
FROM host_holdings b LEFT JOIN servers s ON s.id = b.server_id
WHERE b.host_id = %(host_id)s AND b.server_id = %(server_id)s
  AND NOT EXISTS (SELECT FROM claims c WHERE c.host_id = b.host_id AND c.server_id = b.server_id)
ON CONFLICT (host_id, server_id) DO NOTHING
"""

STILL_LATE = """
SELECT s.project_id FROM servers s JOIN actions a ON a.id = s.locked_by
WHERE s.id = %(server_id)s AND s.status = 'initializing' AND a.command = 'create_server' AND a.status = 'running'
  AND coalesce(s.began, a.started) < now() - make_interval(secs => %(create_within)s + %(grace)s)
"""

STILL_ABANDONED = f"""
SELECT s.project_id FROM servers s
WHERE s.id = %(server_id)s AND s.status IN ('initializing', 'deleting') AND {NOBODY_HAS_THE_LOCK}
"""


# It is brought to its name servers once more, unless it is about to be, and compared again in its turn.
SERVE_AGAIN = """
WITH again AS (
    UPDATE zone_checks SET wrong = NULL WHERE zone = %(subject)s AND wrong IS NOT NULL
      AND NOT EXISTS (SELECT FROM names_due WHERE kind = 'zone' AND value = %(subject)s)
    RETURNING zone
)
INSERT INTO names_due (kind, value) SELECT 'zone', zone FROM again
"""


@dataclass(frozen=True, slots=True)
class Leak:
    """A finding that is older than the grace period, and what made it one."""

    finding: Finding
    limits: Limits
    grace: float

    @property
    def parameters(self) -> dict[str, Any]:
        return {**asdict(self.finding), **asdict(self.limits), "grace": self.grace}


async def heal(connection: Connection, leak: Leak) -> bool:
    """True when something was changed; False when it is right by now, or nothing can be done about it here."""
    healer = HEALERS.get(leak.finding.kind)
    if healer is None:
        return False
    async with connection.transaction():
        return await healer(connection, leak)


async def _recount_quota(connection: Connection, leak: Leak) -> bool:
    lock = "SELECT FROM quotas WHERE scope || ' ' || subject_id = %(subject)s FOR UPDATE"
    return await _recount(connection, leak, lock, RECOUNT_QUOTA)


async def _recount_host(connection: Connection, leak: Leak) -> bool:
    return await _recount(connection, leak, "SELECT FROM hosts WHERE id = %(host_id)s FOR UPDATE", RECOUNT_HOST)


async def _recount(connection: Connection, leak: Leak, lock: str, recount: str) -> bool:
    """Two statements: the second one sees every row that a writer of the counter has written before the lock."""
    await connection.execute(lock.encode(), leak.parameters)
    return (await connection.execute(recount.encode(), leak.parameters)).rowcount > 0


async def _release_quota(connection: Connection, leak: Leak) -> bool:
    """Of a server that is gone, and ids are never used again."""
    server_id = leak.finding.server_id
    assert server_id is not None
    lives = await connection.execute("SELECT FROM servers WHERE id = %s", (server_id,))
    if lives.rowcount or not await quotas.is_held(connection, server_id):
        return False
    await quotas.release(connection, server_id)
    return True


async def _unlock(connection: Connection, leak: Leak) -> bool:
    return (await connection.execute(UNLOCK.encode(), leak.parameters)).rowcount > 0


async def _bury(connection: Connection, leak: Leak) -> bool:
    return (await connection.execute(BURY, leak.parameters)).rowcount > 0


async def _serve_again(connection: Connection, leak: Leak) -> bool:
    return (await connection.execute(SERVE_AGAIN, leak.parameters)).rowcount > 0


async def _end_actions(connection: Connection, leak: Leak) -> bool:
    server_id = leak.finding.server_id
    assert server_id is not None
    lives = await connection.execute("SELECT FROM servers WHERE id = %s", (server_id,))
    return not lives.rowcount and await records.end_all(connection, server_id, DELETED) > 0


async def _delete_late(connection: Connection, leak: Leak) -> bool:
    return await _delete(connection, leak, STILL_LATE)


async def _delete_abandoned(connection: Connection, leak: Leak) -> bool:
    return await _delete(connection, leak, STILL_ABANDONED)


async def _delete(connection: Connection, leak: Leak, still: str) -> bool:
    """Order the server's delete, which gives back whatever it holds wherever that is; the sweep begins its story."""
    await connection.execute("SELECT FROM servers WHERE id = %(server_id)s FOR UPDATE", leak.parameters)
    row = await (await connection.execute(still.encode(), leak.parameters)).fetchone()
    if row is None:
        return False
    server_id = leak.finding.server_id
    assert server_id is not None
    await records.end_all(connection, server_id, LATE)
    await connection.execute("UPDATE servers SET status = 'unknown' WHERE id = %s", (server_id,))
    await orders.order_delete(connection, row["project_id"], server_id)
    return True


HEALERS: Mapping[str, Callable[[Connection, Leak], Awaitable[bool]]] = {
    "quota_counter": _recount_quota,
    "host_counter": _recount_host,
    "reservation": _release_quota,
    "lock": _unlock,
    "abandoned": _delete_abandoned,
    "action": _end_actions,
    "stray": _bury,
    "names": _serve_again,
    "overdue": _delete_late,
}
