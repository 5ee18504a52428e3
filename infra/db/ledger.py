"""The ledger: what is held must be what live servers own, and every counter the sum of its rows.

One question of the books, asked all the time: each row of the answer is a leak or a double, told in words. What hosts
hold is compared with ``held_by_host``.
"""

from __future__ import annotations

from infra.db.pool import Connection

IMBALANCES = """
SELECT format('quota of %s %s counts %s servers, %s cores, %s MiB, %s GiB; its reservations are %s, %s, %s, %s',
              q.scope, q.subject_id, q.used_servers, q.used_cores, q.used_memory_mib, q.used_disk_gib,
              r.servers, r.cores, r.memory_mib, r.disk_gib) AS imbalance
FROM quotas q CROSS JOIN LATERAL (
    SELECT count(*) AS servers, coalesce(sum(cores), 0) AS cores, coalesce(sum(memory_mib), 0) AS memory_mib,
           coalesce(sum(disk_gib), 0) AS disk_gib
    FROM quota_reservations
    WHERE q.subject_id = CASE q.scope WHEN 'user' THEN user_id ELSE project_id END
) r
WHERE (q.used_servers, q.used_cores, q.used_memory_mib, q.used_disk_gib)
      IS DISTINCT FROM (r.servers, r.cores, r.memory_mib, r.disk_gib)
UNION ALL
SELECT format('host %s counts %s cores, %s MiB, %s GiB; its claims are %s, %s, %s',
              h.id, h.used_cores, h.used_memory_mib, h.used_disk_gib, c.cores, c.memory_mib, c.disk_gib)
FROM hosts h CROSS JOIN LATERAL (
    SELECT coalesce(sum(cores), 0) AS cores, coalesce(sum(memory_mib), 0) AS memory_mib,
           coalesce(sum(disk_gib), 0) AS disk_gib
    FROM claims WHERE claims.host_id = h.id
) c
WHERE (h.used_cores, h.used_memory_mib, h.used_disk_gib) IS DISTINCT FROM (c.cores, c.memory_mib, c.disk_gib)
UNION ALL
SELECT format('quota is reserved for server %s, which is gone', r.server_id)
FROM quota_reservations r WHERE NOT EXISTS (SELECT FROM servers s WHERE s.id = r.server_id)
UNION ALL
SELECT format('server %s is %s and lacks %s', s.id, s.status, m.what)
FROM servers s CROSS JOIN LATERAL (
    SELECT 'its quota' AS what WHERE NOT EXISTS (SELECT FROM quota_reservations r WHERE r.server_id = s.id)
    UNION ALL SELECT 'its claim' WHERE NOT EXISTS (SELECT FROM claims c WHERE c.server_id = s.id)
    UNION ALL SELECT 'its ' || t.type FROM (VALUES ('ipv4', s.want_ipv4), ('ipv6', s.want_ipv6)) t (type, wanted)
    WHERE t.wanted AND NOT EXISTS (SELECT FROM addresses a WHERE a.server_id = s.id AND a.type = t.type)
) m
WHERE s.status IN ('running', 'off')
UNION ALL
SELECT format('server %s is %s and locked by action %s, which has ended', s.id, s.status, a.id)
FROM servers s JOIN actions a ON a.id = s.locked_by WHERE a.status <> 'running'
"""

HELD = "SELECT server_id FROM claims WHERE host_id = %s"


async def imbalances(connection: Connection) -> list[str]:
    """Every place where the books disagree with themselves, in words; none is the only good answer."""
    rows = await (await connection.execute(IMBALANCES)).fetchall()
    return [row["imbalance"] for row in rows]


async def held_by_host(connection: Connection, host_id: int) -> set[int]:
    """The servers that may have something on this host."""
    rows = await (await connection.execute(HELD, (host_id,))).fetchall()
    return {row["server_id"] for row in rows}
