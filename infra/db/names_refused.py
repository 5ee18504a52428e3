"""Refused names in the books: records that the name servers do not take, beside all others that are served.

What owners may write is checked before (infra/dns/servable.py), so that there should be none; one that there is all the
same keeps nobody waiting. The action that brought it ends with an error that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from infra.db.pool import Connection
from infra.domain.changes import Change
from infra.domain.models import Failure
from infra.domain.served_names import Answer, Key

FORGET = """
DELETE FROM names_refused
WHERE zone = %(zone)s AND (%(names)s::text[] IS NULL OR name = ANY(%(names)s) OR (name = zone AND type = 'SOA'))
  AND name || ' ' || type <> ALL(%(keys)s)
"""
REFUSE = """
INSERT INTO names_refused AS r (zone, name, type, contents, why)
VALUES (%(zone)s, %(name)s, %(type)s, %(contents)s, %(why)s)
ON CONFLICT (zone, name, type) DO UPDATE
SET why = excluded.why, contents = excluded.contents,
    since = CASE WHEN r.contents = excluded.contents THEN r.since ELSE excluded.since END
"""
KNOWN = "SELECT name, type FROM names_refused WHERE zone = %s"
OF_CHANGE = """
SELECT r.name, r.type, r.why FROM names_refused r JOIN zones z ON z.name = r.zone, actions a
WHERE z.id = %s AND a.id = %s AND r.since >= a.started ORDER BY r.name, r.type LIMIT 1
"""


async def note(
    connection: Connection,
    zone: str,
    names: Collection[str] | None,
    refused: Mapping[Key, str],
    answers: Mapping[Key, Answer],
) -> None:
    """What was refused of ``names`` (None: of all), and why; what was before, and is not now, was taken."""
    keys = [" ".join(key) for key in refused]
    told = {"zone": zone, "names": None if names is None else list(names), "keys": keys}
    await connection.execute(FORGET, told)
    for key, why in refused.items():
        name, type = key
        contents = sorted(answers[key].contents) if key in answers else None
        values = {"zone": zone, "name": name, "type": type, "contents": contents, "why": why}
        await connection.execute(REFUSE, values)


async def known(connection: Connection, zone: str) -> set[Key]:
    return {(row["name"], row["type"]) for row in await (await connection.execute(KNOWN, (zone,))).fetchall()}


async def of_change(connection: Connection, change: Change) -> Failure | None:
    """What became of a change of a zone, where it brought something that is refused since then."""
    if change.resource.type != "zone":
        return None
    row = await (await connection.execute(OF_CHANGE, (change.resource.id, change.action_id))).fetchone()
    if row is None:
        return None
    message = f"the name servers do not take what {row['name']} has of type {row['type']}: {row['why']}"
    return Failure("record_refused", message, 422)
