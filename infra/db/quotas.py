"""Quota rows: a reservation per server and two counters, the user's and the project's, changed in one statement.

The statement locks both counters in one order, so that two projects of one user cannot deadlock, and charges only
where the sum still fits. What it could not charge it does not hold: the transaction is rolled back by the refusal.
"""

from __future__ import annotations

from infra.db.pool import Connection
from infra.domain.errors import QuotaExceeded
from infra.domain.models import ServerOrder
from infra.domain.quota import Quota, explain_refusal

RESERVE = """
WITH locked AS MATERIALIZED (
    SELECT scope, subject_id FROM quotas
    WHERE (scope, subject_id) IN (('user', %(user_id)s), ('project', %(project_id)s))
    ORDER BY scope FOR UPDATE
), held AS (
    INSERT INTO quota_reservations (server_id, user_id, project_id, cores, memory_mib, disk_gib)
    SELECT %(server_id)s, %(user_id)s, %(project_id)s, %(cores)s, %(memory_mib)s, %(disk_gib)s
    WHERE (SELECT count(*) FROM locked) = 2
    ON CONFLICT (server_id) DO NOTHING
    RETURNING cores, memory_mib, disk_gib
), charged AS (
    UPDATE quotas q SET
        used_servers = used_servers + 1, used_cores = used_cores + held.cores,
        used_memory_mib = used_memory_mib + held.memory_mib, used_disk_gib = used_disk_gib + held.disk_gib
    FROM held, locked
    WHERE q.scope = locked.scope AND q.subject_id = locked.subject_id
      AND used_servers + 1 <= max_servers AND used_cores + held.cores <= max_cores
      AND used_memory_mib + held.memory_mib <= max_memory_mib AND used_disk_gib + held.disk_gib <= max_disk_gib
    RETURNING q.scope
)
SELECT (SELECT count(*) FROM held) AS held, (SELECT count(*) FROM charged) AS charged
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
    """Hold what the order takes; holding it already is fine. QuotaExceeded names each limit. Run it in a transaction."""
    parameters = {
        "server_id": order.server_id,
        "user_id": order.user_id,
        "project_id": order.project_id,
        "cores": order.resources.cores,
        "memory_mib": order.resources.memory_mib,
        "disk_gib": order.resources.disk_gib,
    }
    row = await (await connection.execute(RESERVE, parameters)).fetchone()
    assert row is not None
    if row["held"] == 1 and row["charged"] == 2:
        return
    if row["held"] == 0 and await is_held(connection, order.server_id):
        return
    rows = await (await connection.execute(OF_OWNER, parameters)).fetchall()
    raise QuotaExceeded(*explain_refusal([Quota(**r) for r in rows], order.resources))


async def is_held(connection: Connection, server_id: int) -> bool:
    query = "SELECT FROM quota_reservations WHERE server_id = %s"
    return await (await connection.execute(query, (server_id,))).fetchone() is not None


async def release(connection: Connection, server_id: int) -> None:
    """Give back what the server holds; holding nothing is fine."""
    await connection.execute(RELEASE, {"server_id": server_id})
