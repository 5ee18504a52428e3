"""Care for images in the books: which are to be read back, what came of it, and what of the store is still needed.

References are never counted: what is needed follows from the images and the servers there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.db.pool import Connection

INSTALLATION = """
WITH made AS (INSERT INTO installation DEFAULT VALUES ON CONFLICT DO NOTHING RETURNING id)
SELECT id::text FROM made UNION ALL SELECT id::text FROM installation"""

DOUBT = """
UPDATE images SET doubted = coalesce(doubted, now())
WHERE digest = %(digest)s AND status = 'available' AND deleted IS NULL"""

DOUBTED = """
SELECT digest FROM images WHERE doubted IS NOT NULL AND digest IS NOT NULL AND deleted IS NULL
GROUP BY digest ORDER BY min(doubted), digest"""

DUE = """
SELECT digest FROM images
WHERE digest = ANY(%(stored)s) AND status = 'available' AND deleted IS NULL
GROUP BY digest HAVING max(coalesce(verified, created)) < now() - make_interval(secs => %(every)s)
ORDER BY max(coalesce(verified, created)), digest LIMIT 1"""

QUARANTINED = """
SELECT digest, extract(epoch FROM now() - max(quarantined))::float8 AS age
FROM images WHERE quarantined IS NOT NULL AND deleted IS NULL GROUP BY digest ORDER BY digest"""

GOOD = """
UPDATE images SET verified = now(), doubted = NULL, quarantined = NULL,
    status = CASE WHEN quarantined IS NOT NULL AND status = 'unavailable' THEN 'available' ELSE status END
WHERE digest = %(digest)s AND deleted IS NULL"""

BAD = """
UPDATE images SET doubted = NULL, quarantined = now(),
    status = CASE WHEN status = 'available' THEN 'unavailable' ELSE status END
WHERE digest = %(digest)s AND deleted IS NULL"""

NEEDED = """
SELECT DISTINCT digest FROM images i
WHERE digest IS NOT NULL
  AND ((deleted IS NULL AND (superseded IS NULL OR unavailable_after > now()))
       OR EXISTS (SELECT FROM servers s WHERE s.image_id = i.id AND s.status = 'initializing'))"""

CREATING = """
SELECT id, extract(epoch FROM now() - created)::float8 AS age FROM images
WHERE status = 'creating' AND deleted IS NULL"""

HEALTH = """
SELECT count(DISTINCT digest) FILTER (WHERE doubted IS NOT NULL) AS doubted,
       count(DISTINCT digest) FILTER (WHERE quarantined IS NOT NULL) AS quarantined,
       coalesce(extract(epoch FROM now() - min(coalesce(verified, created))
                FILTER (WHERE status = 'available')), 0)::float8 AS unread
FROM images WHERE digest IS NOT NULL AND deleted IS NULL"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What of the store is needed: the digests, and the images under way with the seconds since they were begun."""

    digests: frozenset[str]
    creating: dict[int, float]


@dataclass(frozen=True, slots=True)
class ImageHealth:
    """Numbers of images. ``unread``: seconds since that one was read back which was read back longest ago."""

    doubted: int
    quarantined: int
    unread: float


async def installation(connection: Connection) -> str:
    """The id of these books, with which their image store is marked."""
    row = await (await connection.execute(INSTALLATION)).fetchone()
    assert row is not None, "it is there, or made"
    return str(row["id"])


async def doubt(connection: Connection, digest: str) -> bool:
    """A host found that the store lacks this image or has it wrong: it is read back soon. False: it is none in use."""
    return (await connection.execute(DOUBT, {"digest": digest})).rowcount > 0


async def doubted(connection: Connection) -> list[str]:
    return [str(row["digest"]) for row in await (await connection.execute(DOUBTED)).fetchall()]


async def due(connection: Connection, stored: list[str], every: float) -> str | None:
    """The one of ``stored`` that was read back longest ago, if that is more than ``every`` seconds."""
    row = await (await connection.execute(DUE, {"stored": stored, "every": every})).fetchone()
    return None if row is None else str(row["digest"])


async def quarantined(connection: Connection) -> dict[str, float]:
    """By digest: the seconds since it was last found bad."""
    return {row["digest"]: row["age"] for row in await (await connection.execute(QUARANTINED)).fetchall()}


async def found_good(connection: Connection, digest: str) -> None:
    """It was read back right: no doubt is left, and one that was in quarantine is available again."""
    await connection.execute(GOOD, {"digest": digest})


async def found_bad(connection: Connection, digest: str) -> None:
    """No server is made of it any more, until somebody puts a good copy into the store."""
    await connection.execute(BAD, {"digest": digest})


async def needs(connection: Connection) -> Needs:
    digests = await (await connection.execute(NEEDED)).fetchall()
    creating = await (await connection.execute(CREATING)).fetchall()
    return Needs(frozenset(row["digest"] for row in digests), {row["id"]: row["age"] for row in creating})


async def health(connection: Connection) -> ImageHealth:
    row = await (await connection.execute(HEALTH)).fetchone()
    assert row is not None, "an aggregate has a row"
    return ImageHealth(**row)
