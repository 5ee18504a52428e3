"""Audits in the books: since when something is wrong, and what the newest audit of each location came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from infra.db.ledger import KINDS, Finding
from infra.db.pool import Connection

NOTE = """
WITH seen AS MATERIALIZED (
    SELECT s.kind, s.subject, l.id AS location_id
    FROM unnest(%(kinds)s::text[], %(subjects)s::text[], %(locations)s::text[]) s (kind, subject, location)
    LEFT JOIN locations l ON l.name = s.location
), mended AS (
    DELETE FROM findings f USING locations l
    WHERE l.name = %(location)s AND (f.location_id IS NULL OR f.location_id = l.id)
      AND NOT EXISTS (SELECT FROM seen WHERE (seen.kind, seen.subject) = (f.kind, f.subject))
)
INSERT INTO findings (kind, subject, location_id) SELECT kind, subject, location_id FROM seen ORDER BY kind, subject
ON CONFLICT (kind, subject) DO NOTHING
"""

STORE = """
INSERT INTO audits (location_id, kind, leaks, pending, healed)
SELECT l.id, k.kind, k.leaks, k.pending, k.healed
FROM unnest(%(kinds)s::text[], %(leaks)s::int[], %(pending)s::int[], %(healed)s::int[]) k (kind, leaks, pending, healed)
JOIN locations l ON l.name = %(location)s
ON CONFLICT (location_id, kind) DO UPDATE
SET leaks = excluded.leaks, pending = excluded.pending, healed = audits.healed + excluded.healed, at = now()
"""

LATEST = """
SELECT l.name AS location, a.kind, a.leaks, a.pending, a.healed, extract(epoch FROM now() - a.at)::float8 AS age
FROM audits a JOIN locations l ON l.id = a.location_id ORDER BY l.name, a.kind
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the newest audit of a location found of one kind. ``healed``: since the first audit. ``age``: seconds."""

    location: str
    kind: str
    leaks: int
    pending: int
    healed: int
    age: float


async def note(connection: Connection, location: str, findings: Sequence[Finding]) -> None:
    """Remember since when each of them is wrong, and forget what is not wrong any more."""
    counted = [finding for finding in findings if not finding.pending]
    parameters = {
        "location": location,
        "kinds": [finding.kind for finding in counted],
        "subjects": [finding.subject for finding in counted],
        "locations": [finding.location for finding in counted],
    }
    await connection.execute(NOTE, parameters)


async def store(
    connection: Connection, location: str, leaks: Counter[str], pending: Counter[str], healed: Counter[str]
) -> None:
    """The location's newest audit, each by kind; what was healed is added to what was before."""
    parameters = {
        "location": location,
        "kinds": list(KINDS),
        "leaks": [leaks[kind] for kind in KINDS],
        "pending": [pending[kind] for kind in KINDS],
        "healed": [healed[kind] for kind in KINDS],
    }
    await connection.execute(STORE, parameters)


async def latest(connection: Connection) -> list[Tally]:
    found = await connection.execute(LATEST)
    return [Tally(**row) for row in await found.fetchall()]
