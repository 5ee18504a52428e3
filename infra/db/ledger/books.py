"""What is wrong in the books alone: every counter is the sum of its rows, every hold has a live server behind it.

Each write keeps to that by itself, so none of these is ever right, not even for a moment.
"""

from __future__ import annotations

from infra.db.ledger.checks import check, last_ended

QUOTA_COUNTERS = """
quotas q LEFT JOIN (
    SELECT o.scope, o.subject_id, count(*) AS servers, sum(cores) AS cores, sum(memory_mib) AS memory_mib,
           sum(disk_gib) AS disk_gib
    FROM quota_reservations CROSS JOIN LATERAL (VALUES ('user', user_id), ('project', project_id)) o (scope, subject_id)
    GROUP BY o.scope, o.subject_id
) r USING (scope, subject_id)
WHERE (q.used_servers, q.used_cores, q.used_memory_mib, q.used_disk_gib) IS DISTINCT FROM
      (coalesce(r.servers, 0), coalesce(r.cores, 0), coalesce(r.memory_mib, 0), coalesce(r.disk_gib, 0))
"""

HOST_COUNTERS = """
hosts h LEFT JOIN (
    SELECT host_id, sum(cores) AS cores, sum(memory_mib) AS memory_mib, sum(disk_gib) AS disk_gib
    FROM claims GROUP BY host_id
) c ON c.host_id = h.id
WHERE (h.used_cores, h.used_memory_mib, h.used_disk_gib) IS DISTINCT FROM
      (coalesce(c.cores, 0), coalesce(c.memory_mib, 0), coalesce(c.disk_gib, 0))
"""

RESERVATIONS_OF_NOBODY = "quota_reservations r WHERE NOT EXISTS (SELECT FROM servers s WHERE s.id = r.server_id)"

LACKING = """
servers s LEFT JOIN quota_reservations r ON r.server_id = s.id LEFT JOIN claims c ON c.server_id = s.id
LEFT JOIN addresses v4 ON v4.server_id = s.id AND v4.type = 'ipv4'
LEFT JOIN addresses v6 ON v6.server_id = s.id AND v6.type = 'ipv6'
WHERE s.status IN ('running', 'off')
  AND (r.server_id IS NULL OR c.server_id IS NULL OR (s.want_ipv4 AND v4.id IS NULL) OR (s.want_ipv6 AND v6.id IS NULL))
"""

LACKED = """
concat_ws(', ', CASE WHEN r.server_id IS NULL THEN 'its quota' END, CASE WHEN c.server_id IS NULL THEN 'its claim' END,
          CASE WHEN s.want_ipv4 AND v4.id IS NULL THEN 'its ipv4' END,
          CASE WHEN s.want_ipv6 AND v6.id IS NULL THEN 'its ipv6' END)
"""

# What has an address for as long as it lives, and has none.
UNADDRESSED = """
(
    SELECT 'load balancer ' || b.id AS holder, b.location_id, v.type
    FROM load_balancers b CROSS JOIN (VALUES ('ipv4'), ('ipv6')) v (type)
    WHERE NOT EXISTS (SELECT FROM addresses a WHERE a.load_balancer_id = b.id AND a.type = v.type)
    UNION ALL
    SELECT 'primary IP ' || p.id, p.location_id, p.type
    FROM primary_ips p WHERE NOT EXISTS (SELECT FROM addresses a WHERE a.primary_ip_id = p.id)
    UNION ALL
    SELECT 'membership ' || m.id, coalesce(s.location_id, b.location_id), 'address'
    FROM network_members m LEFT JOIN servers s ON s.id = m.server_id
    LEFT JOIN load_balancers b ON b.id = m.load_balancer_id
    WHERE NOT EXISTS (SELECT FROM network_addresses a WHERE a.member_id = m.id AND NOT a.is_alias)
) u
"""

NOBODY_HAS_THE_LOCK = """
NOT EXISTS (SELECT FROM actions a WHERE a.id = s.locked_by AND a.server_id = s.id AND a.status = 'running')
"""

STALE_LOCKS = f"""
servers s WHERE s.locked_by IS NOT NULL AND s.status NOT IN ('initializing', 'deleting') AND {NOBODY_HAS_THE_LOCK}
"""

ABANDONED = f"servers s WHERE s.status IN ('initializing', 'deleting') AND {NOBODY_HAS_THE_LOCK}"

ACTIONS_OF_NOBODY = """
actions a WHERE a.status = 'running' AND a.server_id IS NOT NULL
AND NOT EXISTS (SELECT FROM servers s WHERE s.id = a.server_id)
"""

BOOKS = (
    check(
        "quota_counter",
        "format('quota of %s %s counts %s servers, %s cores, %s MiB, %s GiB; its reservations are %s, %s, %s, %s',"
        " q.scope, q.subject_id, q.used_servers, q.used_cores, q.used_memory_mib, q.used_disk_gib,"
        " coalesce(r.servers, 0), coalesce(r.cores, 0), coalesce(r.memory_mib, 0), coalesce(r.disk_gib, 0))",
        QUOTA_COUNTERS,
        subject="q.scope || ' ' || q.subject_id",
    ),
    check(
        "host_counter",
        "format('host %s counts %s cores, %s MiB, %s GiB; its claims are %s, %s, %s', h.id, h.used_cores,"
        " h.used_memory_mib, h.used_disk_gib,"
        " coalesce(c.cores, 0), coalesce(c.memory_mib, 0), coalesce(c.disk_gib, 0))",
        HOST_COUNTERS,
        location_id="h.location_id",
        host_id="h.id",
    ),
    check(
        "reservation",
        "format('quota is reserved for server %s, which is gone', r.server_id)",
        RESERVATIONS_OF_NOBODY,
        server_id="r.server_id",
        since=last_ended("r.server_id"),
    ),
    check(
        "lacking",
        f"format('server %s is %s and lacks %s', s.id, s.status, {LACKED})",
        LACKING,
        location_id="s.location_id",
        server_id="s.id",
    ),
    check(
        "unaddressed",
        "format('%s lacks its %s', u.holder, u.type)",
        UNADDRESSED,
        subject="u.holder || ' ' || u.type",
        location_id="u.location_id",
    ),
    check(
        "lock",
        "format('server %s is %s and locked by action %s, which has ended', s.id, s.status, s.locked_by)",
        STALE_LOCKS,
        location_id="s.location_id",
        server_id="s.id",
        since="SELECT finished FROM actions WHERE actions.id = s.locked_by",
    ),
    check(
        "abandoned",
        "format('server %s is %s and nothing works on it', s.id, s.status)",
        ABANDONED,
        location_id="s.location_id",
        server_id="s.id",
        since=last_ended("s.id"),
    ),
    check(
        "action",
        "format('action %s (%s) is running and its server %s is gone', a.id, a.command, a.server_id)",
        ACTIONS_OF_NOBODY,
        subject="'action ' || a.id",
        server_id="a.server_id",
        since=f"SELECT coalesce(({last_ended('a.server_id')}), a.started)",
    ),
)
