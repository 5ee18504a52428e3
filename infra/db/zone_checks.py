"""Comparisons of zones with what their name servers answer: which are next, and what was found."""

from __future__ import annotations

from collections.abc import Collection

from infra.db.pool import Connection

KNOW = """
WITH gone AS (DELETE FROM zone_checks WHERE zone <> ALL (%(zones)s))
INSERT INTO zone_checks (zone) SELECT unnest(%(zones)s::text[]) ON CONFLICT DO NOTHING
"""
NEXT = """
WITH wrong AS (
    SELECT zone FROM zone_checks WHERE wrong IS NOT NULL ORDER BY checked NULLS FIRST, zone LIMIT %(most)s / 2
), others AS (
    SELECT zone FROM zone_checks WHERE zone NOT IN (SELECT zone FROM wrong)
    ORDER BY checked NULLS FIRST, zone LIMIT %(most)s - (SELECT count(*) FROM wrong)
)
SELECT zone FROM wrong UNION ALL SELECT zone FROM others
"""
NOTE = "UPDATE zone_checks SET checked = now(), wrong = %(wrong)s WHERE zone = %(zone)s"


async def due(connection: Connection, zones: Collection[str], most: int) -> list[str]:
    """Of all ``zones`` that there are, those that were not looked at for longest; up to half of them some that were
    wrong, so that neither keep the others from their turn."""
    await connection.execute(KNOW, {"zones": sorted(zones)})
    return [row["zone"] for row in await (await connection.execute(NEXT, {"most": most})).fetchall()]


async def note(connection: Connection, zone: str, wrong: str | None) -> None:
    """``wrong``: what the zone does, in words; None: nothing is."""
    await connection.execute(NOTE, {"zone": zone, "wrong": wrong})
