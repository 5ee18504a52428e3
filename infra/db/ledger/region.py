"""What is wrong between the books and the world: what hosts say that they hold, what name servers answer (as they were
last compared), and orders that take too long.

Hosts report and clear up every half minute, so each of these may be true for a moment in a healthy region. ``given``
has the limits: ``silence`` is a host's age of report, ``create_within`` and ``delete_within`` an order's, in seconds.
"""

from __future__ import annotations

from infra.db.ledger.checks import check, last_ended


def is_silent(column: str) -> str:
    return f"(h.{column} IS NULL OR h.{column} < now() - make_interval(secs => given.silence))"


STRAYS = """
host_holdings b JOIN hosts h ON h.id = b.host_id LEFT JOIN servers s ON s.id = b.server_id
LEFT JOIN claims c ON c.server_id = b.server_id CROSS JOIN given
WHERE c.host_id IS DISTINCT FROM b.host_id
  AND NOT EXISTS (SELECT FROM tombstones t WHERE t.host_id = b.host_id AND t.server_id = b.server_id)
"""

ALL_PARTS = "ARRAY['machine', 'disk', 'seed', 'port']"  # infra.domain.models.PARTS

# OFFSET 0: what is missing is found out first, by hashing; the rest is asked for the few that it finds.
MISSING = f"""
(
    SELECT s.id, s.status, s.location_id, c.host_id, h.told, coalesce(b.parts, '{{}}') AS parts
    FROM servers s JOIN claims c ON c.server_id = s.id JOIN hosts h ON h.id = c.host_id
    LEFT JOIN host_holdings b ON b.host_id = c.host_id AND b.server_id = s.id CROSS JOIN given
    WHERE s.status IN ('running', 'off') AND (b.parts @> {ALL_PARTS}) IS NOT TRUE AND NOT {is_silent("told")} OFFSET 0
) m
WHERE m.told > ({last_ended("m.id")})
"""

LOST = f"""
(SELECT string_agg('its ' || part, ', ' ORDER BY nr) FROM unnest({ALL_PARTS}) WITH ORDINALITY wanted (part, nr)
 WHERE part <> ALL (m.parts))
"""

TOMBSTONES = "tombstones t JOIN hosts h ON h.id = t.host_id CROSS JOIN given"

# Dated by the audit, not by the deadline: after an outage that was longer, a story gets its time to end by itself.
OVERDUE = """
actions a JOIN servers s ON s.id = a.server_id CROSS JOIN given CROSS JOIN LATERAL (
    SELECT CASE a.command WHEN 'create_server' THEN coalesce(s.began, a.started) ELSE a.started END
           + make_interval(secs => CASE a.command WHEN 'create_server' THEN create_within ELSE delete_within END) AS at
) due
WHERE a.status = 'running' AND a.command IN ('create_server', 'delete_server') AND due.at < now()
"""

# Only what is gone for good: which firewalls a server should have is more than SQL can say (label selectors).
GUARDS_OF_NOBODY = """
enforced_firewalls e JOIN claims c USING (server_id, epoch) JOIN hosts h ON h.id = c.host_id CROSS JOIN given
WHERE NOT EXISTS (SELECT FROM firewalls f WHERE f.id = e.firewall_id)
"""
EDGES = "edges e CROSS JOIN given WHERE e.differs IS NOT NULL"
UNSERVED = """
load_balancers b LEFT JOIN edges e ON e.id = b.edge_id CROSS JOIN given
WHERE e.reported IS NULL OR e.reported < now() - make_interval(secs => given.silence)
"""
EDGE_IS_SILENT = "(e.reported IS NULL OR e.reported < now() - make_interval(secs => given.silence))"

# Each is followed within seconds, whoever noted it.
UNFOLLOWED = """
(
    SELECT count(*) AS many FROM names_due n CROSS JOIN given
    WHERE n.noted < now() - make_interval(secs => given.silence) HAVING count(*) > 0
) d
"""

REGION = (
    check(
        "stray",
        "format('host %s holds the %s of server %s, which %s', b.host_id, array_to_string(b.parts, ', '), b.server_id,"
        " CASE WHEN s.id IS NULL THEN 'is gone' WHEN c.host_id IS NULL THEN 'is placed nowhere'"
        " ELSE format('is placed on host %s', c.host_id) END)",
        STRAYS,
        location_id="h.location_id",
        server_id="b.server_id",
        host_id="b.host_id",
        since=f"CASE WHEN {is_silent('told')} THEN b.since"
        f" WHEN s.id IS NULL THEN greatest(b.since, ({last_ended('b.server_id')})) END",
        pending=is_silent("told"),
    ),
    check(
        "missing",
        f"format('server %s is %s on host %s, which does not have %s', m.id, m.status, m.host_id, {LOST})",
        MISSING,
        location_id="m.location_id",
        server_id="m.id",
        host_id="m.host_id",
    ),
    check(
        "tombstone",
        "format('host %s has yet to forget server %s', t.host_id, t.server_id)",
        TOMBSTONES,
        location_id="h.location_id",
        server_id="t.server_id",
        host_id="t.host_id",
        since=f"CASE WHEN {is_silent('reported')} THEN t.created END",
        pending=is_silent("reported"),
    ),
    check(
        "guard",
        "format('host %s guards server %s by firewall %s, which is gone', h.id, e.server_id, e.firewall_id)",
        GUARDS_OF_NOBODY,
        subject="format('server %s by firewall %s', e.server_id, e.firewall_id)",
        location_id="h.location_id",
        server_id="e.server_id",
        host_id="h.id",
        pending=is_silent("reported"),
    ),
    check(
        "names",
        "format('zone %s is not served as it shall be: it %s', z.zone, z.wrong)",
        "zone_checks z WHERE z.wrong IS NOT NULL",
        subject="z.zone",
    ),
    check(
        "names_due",
        "format('%s changes of names have not reached the name servers', d.many)",
        UNFOLLOWED,
        subject="'notes'",
    ),
    check(
        "edge",
        "format('edge %s does not serve what the books say', e.name)",
        EDGES,
        subject="'edge ' || e.id",
        location_id="e.location_id",
        pending=EDGE_IS_SILENT,
    ),
    check(
        "unserved",
        "format('load balancer %s is served by no edge%s', b.id, ', its own is silent: ' || e.name)",
        UNSERVED,
        subject="'load balancer ' || b.id",
        location_id="b.location_id",
    ),
    check(
        "overdue",
        "format('action %s (%s) on server %s is running past its deadline', a.id, a.command, s.id)",
        OVERDUE,
        subject="'action ' || a.id",
        location_id="s.location_id",
        server_id="s.id",
    ),
)
