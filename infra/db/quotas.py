"""Quota rows: a reservation per server and two counters, the user's and the project's, changed in one statement.

The statement marks the order as begun, locks both counters in one order (two projects of one user cannot deadlock),
and holds and charges only where the sum still fits. A refusal leaves nothing to take back.
"""

from __future__ import annotations

from dataclasses import asdict

from infra.db.pool import Connection
from infra.domain.errors import OrderWithdrawn, QuotaExceeded
from infra.domain.models import ServerOrder
from infra.domain.quota import Quota, explain_refusal

RESERVE = """
WITH begun AS (
    UPDATE servers SET began = coalesce(began, now())
    WHERE id = %(server_id)s AND locked_by = %(action_id)s RETURNING id
), locked AS MATERIALIZED (
    SELECT *, used_servers + 1 <= max_servers AND used_cores + %(cores)s <= max_cores
              AND used_memory_mib + %(memory_mib)s <= max_memory_mib
              AND used_disk_gib + %(disk_gib)s <= max_disk_gib AS fits
    FROM quotas
    WHERE (scope, subject_id) IN (('user', %(user_id)s), ('project', %(project_id)s))
    ORDER BY scope FOR UPDATE
), held AS (
    INSERT INTO quota_reservations (server_id, user_id, project_id, cores, memory_mib, disk_gib)
    SELECT %(server_id)s, %(user_id)s, %(project_id)s, %(cores)s, %(memory_mib)s, %(disk_gib)s
    FROM begun WHERE (SELECT count(*) = 2 AND bool_and(fits) FROM locked)
    ON CONFLICT (server_id) DO NOTHING
    RETURNING cores, memory_mib, disk_gib
), charged AS (
    UPDATE quotas q SET
        used_servers = q.used_servers + 1, used_cores = q.used_cores + held.cores,
        used_memory_mib = q.used_memory_mib + held.memory_mib, used_disk_gib = q.used_disk_gib + held.disk_gib
    FROM held, locked WHERE q.scope = locked.scope AND q.subject_id = locked.subject_id
)
SELECT EXISTS (SELECT FROM begun) AS begun, EXISTS (SELECT FROM held) AS held
"""

RELEASE = """
WITH freed AS (
    DELETE FROM quota_reservations WHERE server_id = %(server_id)s
    RETURNING user_id, project_id, cores, memory_mib, disk_gib
), locked AS MATERIALIZED (
    SELECT scope, subject_id FROM quotas, freed
    WHERE (scope = 'user' AND subject_id = user_id) OR (scope = 'project' AND subject_id = project_id)
    ORDER BY scope FOR UPDATE OF quotas
)
UPDATE quotas q SET
    used_servers = used_servers - 1, used_cores = used_cores - freed.cores,
    used_memory_mib = used_memory_mib - freed.memory_mib, used_disk_gib = used_disk_gib - freed.disk_gib
FROM freed, locked WHERE q.scope = locked.scope AND q.subject_id = locked.subject_id
"""

OF_OWNER = """
SELECT * FROM quotas WHERE (scope, subject_id) IN (('user', %(user_id)s), ('project', %(project_id)s)) ORDER BY scope
"""


async def reserve(connection: Connection, order: ServerOrder) -> None:
    """Begin the order and hold what it takes; again is fine. OrderWithdrawn; QuotaExceeded names each limit."""
    parameters = {
        "server_id": order.server_id,
        "action_id": order.action_id,
        "user_id": order.user_id,
        "project_id": order.project_id,
        **asdict(order.resources),
    }
    row = await (await connection.execute(RESERVE, parameters)).fetchone()
    assert row is not None
    if not row["begun"]:
        raise OrderWithdrawn("the order was withdrawn before it began")
    if row["held"] or await is_held(connection, order.server_id):
        return
    rows = await (await connection.execute(OF_OWNER, parameters)).fetchall()
    raise QuotaExceeded(*explain_refusal([Quota(**r) for r in rows], order.resources))


async def is_held(connection: Connection, server_id: int) -> bool:
    query = "SELECT FROM quota_reservations WHERE server_id = %s"
    return await (await connection.execute(query, (server_id,))).fetchone() is not None


async def release(connection: Connection, server_id: int) -> None:
    """Give back what the server holds; holding nothing is fine."""
    await connection.execute(RELEASE, {"server_id": server_id})
