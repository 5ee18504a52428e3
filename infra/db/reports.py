"""Reports in the books: what each host said last of itself, and the servers that its word puts right.

Some hundred a second come in where there are ten thousand hosts, and nearly all of them say what was said before: the
numbers that differ every time are in the host's row, everything else is compared by its digest and seldom written.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from infra.db.pool import Connection
from infra.domain.errors import NotFound
from infra.domain.models import HostReport, Link
from infra.domain.power import TURNS

log = logging.getLogger(__name__)

SPEAKS_S = 90.0
"""An agent that was not heard for so long is silent: it is asked twice a minute."""

# A commit need not wait for the disk here: what a crash loses is told again. A digest counts for ten minutes: should
# somebody else have written what it stands for, that is how long it stays so.
NUMBERS = """
UPDATE hosts SET cores = %(cores)s, memory_mib = %(memory_mib)s, disk_gib = %(disk_gib)s,
                 free_memory_mib = %(free_memory_mib)s, free_disk_gib = %(free_disk_gib)s,
                 cpu_busy = %(cpu_busy)s, io_wait = %(io_wait)s, net_saturation = %(net_saturation)s,
                 driver = %(driver)s, reported = now(),
                 silent = CASE WHEN %(fails)s THEN now() ELSE silent END,
                 told = CASE WHEN %(tells)s THEN now() ELSE told END
WHERE id = %(host_id)s AND set_config('synchronous_commit', 'off', true) = 'off'
RETURNING (SELECT digest FROM host_details d WHERE d.host_id = hosts.id AND d.taken > now() - interval '10 minutes')
          AS digest
"""

DETAILS = """
WITH details AS (
    INSERT INTO host_details (host_id, digest, facts, images, links, problems)
    VALUES (%(host_id)s, %(digest)s, %(facts)s, %(images)s, %(links)s, %(problems)s)
    ON CONFLICT (host_id) DO UPDATE SET digest = excluded.digest, taken = now(), facts = excluded.facts,
        images = excluded.images, links = excluded.links, problems = excluded.problems
), said AS MATERIALIZED (
    SELECT server_id, string_to_array(parts, ' ') AS parts, state, ago <= %(speaks_s)s AS speaks,
           CASE WHEN ago > %(speaks_s)s THEN now() - make_interval(secs => ago) END AS spoke
    FROM unnest(%(servers)s::bigint[], %(parts)s::text[], %(states)s::text[], %(ago)s::float8[])
         s (server_id, parts, state, ago)
    WHERE %(tells)s
), dropped AS (
    DELETE FROM host_holdings h
    WHERE h.host_id = %(host_id)s AND %(tells)s AND NOT EXISTS (SELECT FROM said WHERE said.server_id = h.server_id)
)
INSERT INTO host_holdings AS h (host_id, server_id, parts, state, speaks, spoke)
SELECT %(host_id)s, said.* FROM said
WHERE NOT EXISTS (
    SELECT FROM host_holdings h WHERE h.host_id = %(host_id)s AND h.server_id = said.server_id AND h.parts = said.parts
    AND (NOT %(knows)s OR (h.state, h.speaks) IS NOT DISTINCT FROM (said.state, said.speaks))
)
ON CONFLICT (host_id, server_id) DO UPDATE
SET parts = excluded.parts, state = CASE WHEN %(knows)s THEN excluded.state ELSE h.state END,
    speaks = CASE WHEN %(knows)s THEN excluded.speaks ELSE h.speaks END,
    spoke = CASE WHEN %(knows)s THEN excluded.spoke ELSE h.spoke END
"""

TURNS_SQL = ", ".join(str(before + after) for before, after in TURNS.items())

# A command raises the server's epoch when it is accepted, and has its lock until it is done: where neither has happened
# since the host looked, the machine is as it was left, and what it is now its guest, or an accident, has made of it.
TURN = f"""
UPDATE servers s SET status = r.becomes, desired = r.is_to_be
FROM unnest(%(servers)s::bigint[], %(states)s::text[], %(epochs)s::int[]) t (server_id, state, epoch)
JOIN claims c ON (c.server_id, c.epoch, c.host_id) = (t.server_id, t.epoch, %(host_id)s),
     (VALUES {TURNS_SQL}) r (status, desired, state, becomes, is_to_be)
WHERE s.id = t.server_id AND s.epoch = t.epoch AND s.locked_by IS NULL
  AND (s.status, s.desired, t.state) = (r.status, r.desired, r.state)
RETURNING s.id, s.status
"""


async def record_report(connection: Connection, report: HostReport) -> None:
    """The host's newest account of itself; the time is the database's, so that no host's clock counts.

    NotFound: the host is not registered.
    """
    numbers = {**asdict(report), "tells": report.holds is not None, "fails": bool(report.problems)}
    row = await (await connection.execute(NUMBERS, numbers)).fetchone()
    if row is None:
        raise NotFound(f"host {report.host_id} is not registered")
    details = _details(report)
    digest = hashlib.sha256(json.dumps(details, sort_keys=True).encode()).digest()[:16]
    if row["digest"] != digest:
        values = {name: Jsonb(value) if name in ("facts", "links") else value for name, value in details.items()}
        ago = [(report.heard or {}).get(server_id) for server_id in details["servers"]]
        told = {"host_id": report.host_id, "digest": digest, "ago": ago, "speaks_s": SPEAKS_S}
        await connection.execute(DETAILS, {**values, **told})
    if report.turned:
        await _turn(connection, report)


async def _turn(connection: Connection, report: HostReport) -> None:
    values = {
        "host_id": report.host_id,
        "servers": list(report.turned),
        "states": [turned.state for turned in report.turned.values()],
        "epochs": [turned.epoch for turned in report.turned.values()],
    }
    done = await connection.execute(TURN.encode(), values)
    for row in await done.fetchall():
        log.info("server %s is %s, as its host found it", row["id"], row["status"])


def _details(report: HostReport) -> dict[str, Any]:
    """What seldom changes; what does so a little with every report is told coarsely."""
    servers, heard = sorted(report.holds or {}), report.heard or {}
    return {
        "facts": report.facts,
        "images": report.images,
        "links": {name: _coarse(link) for name, link in report.links.items()},
        "problems": [*report.problems, *report.hindrances],
        "tells": report.holds is not None,
        "knows": report.states is not None,
        "servers": servers,
        "parts": [" ".join((report.holds or {})[server_id]) for server_id in servers],
        "states": [(report.states or {}).get(server_id) for server_id in servers],
        "speaks": [heard[server_id] <= SPEAKS_S if server_id in heard else None for server_id in servers],
    }


def _coarse(link: Link) -> dict[str, Any]:
    tenths = (None if share is None else round(share, 1) for share in (link.received, link.sent))
    return {"speed_mbit": link.speed_mbit, **dict(zip(("received", "sent"), tenths, strict=True))}
