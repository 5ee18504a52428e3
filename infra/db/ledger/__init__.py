"""The ledger: what is held must be what live servers own, in the books and on every host, and no order is forgotten.

One question, asked all the time: each row of the answer is a leak or a double, told in words. Its parts: ``books.py``
is the books against themselves, ``region.py`` the books against the hosts and the clock, ``holds.py`` who holds what.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from infra.db.ledger.books import BOOKS
from infra.db.ledger.holds import Hold, held_by_host, held_by_server
from infra.db.ledger.region import REGION
from infra.db.pool import Connection

__all__ = ["KINDS", "Finding", "Hold", "Limits", "examine", "held_by_host", "held_by_server", "imbalances"]

KINDS = tuple(check.kind for check in (*BOOKS, *REGION))

IMBALANCES = " UNION ALL ".join(check.sql for check in BOOKS)

LEDGER = f"""
WITH given AS (
    SELECT %(location)s::text AS location, %(silence)s::float8 AS silence,
           %(create_within)s::float8 AS create_within, %(delete_within)s::float8 AS delete_within
), wrong AS (
    {" UNION ALL ".join(check.sql for check in (*BOOKS, *REGION)).replace("%", "%%")}
), named AS (
    SELECT w.kind, l.name AS location, w.location_id, w.server_id, w.host_id, w.since, w.text,
           coalesce(w.pending, false) AS pending,
           coalesce(w.subject, concat_ws(' on ', 'server ' || w.server_id, 'host ' || w.host_id)) AS subject
    FROM wrong w LEFT JOIN locations l ON l.id = w.location_id CROSS JOIN given
    WHERE given.location IS NULL OR w.location_id IS NULL OR l.name = given.location
)
SELECT n.kind, n.subject, n.location, n.server_id, n.host_id, n.text, n.pending,
       coalesce(n.since, f.since) IS NULL AS is_new,
       extract(epoch FROM now() - coalesce(n.since, f.since, (
           SELECT max(at) FROM audits a WHERE n.location_id IS NULL OR a.location_id = n.location_id
       )))::float8 AS age
FROM named n LEFT JOIN findings f ON (f.kind, f.subject) = (n.kind, n.subject)
ORDER BY n.location NULLS FIRST, n.kind, n.server_id, n.host_id
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: an order is at its end, whatever that is, within the first two; a host is silent after the last."""

    create_within: float
    delete_within: float
    silence: float = 90.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. ``location`` None: with the books as a whole. ``pending``: it waits for a host that is silent.

    ``age``: seconds. Of what is new, which no audit has seen and the books do not date, it is the most that it can be:
    the time since the last audit; infinite when there was none.
    """

    kind: str
    subject: str
    location: str | None
    server_id: int | None
    host_id: int | None
    text: str
    pending: bool
    is_new: bool
    age: float

    def is_leak(self, grace: float) -> bool:
        return not self.pending and self.age > grace


async def examine(connection: Connection, location: str | None, limits: Limits) -> list[Finding]:
    """All that is wrong now, in one look: with the location (None: with all of them), and with the books as a whole."""
    found = await connection.execute(LEDGER.encode(), {"location": location, **asdict(limits)})
    rows = await found.fetchall()
    return [Finding(**{**row, "age": math.inf if row["age"] is None else row["age"]}) for row in rows]


async def imbalances(connection: Connection) -> list[str]:
    """Every place where the books disagree with themselves, in words; none is the only good answer."""
    rows = await (await connection.execute(IMBALANCES.encode())).fetchall()
    return [row["text"] for row in rows]
