"""How a guest build becomes an image that is offered."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from psycopg.rows import DictRow

from infra.db.images import AFTERLIFE
from infra.db.pool import Connection


@dataclass(frozen=True, slots=True)
class NewImage:
    """A system image as a guest build hands it over. ``digest``: its name in the store."""

    name: str
    digest: str
    disk_gib: int
    description: str
    os_flavor: str = "unknown"
    os_version: str | None = None
    architecture: str = "x86"
    has_agent: bool = True


async def register_image(connection: Connection, new: NewImage) -> int:
    """Offer a system image; again at will. Its id.

    A build of other bytes takes the name over from the one before. What the catalog says of the name (its description,
    its deprecation) stays said.
    """
    async with connection.transaction():
        # Builds that end together queue here: otherwise both would find the name free.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('images'), hashtext(%s))", (new.name,))
        before = await (await connection.execute(CURRENT, asdict(new))).fetchone()
        values = {**UNSAID, **asdict(new), **_said(before)}
        if before and before["digest"] in (None, new.digest):
            await connection.execute(BUILT, {**values, "id": before["id"]})
            return int(before["id"])
        if before:
            await connection.execute(SUPERSEDE, {"id": before["id"], "afterlife": AFTERLIFE})
        row = await (await connection.execute(INSERT, values)).fetchone()
        assert row is not None, "INSERT ... RETURNING returns a row or raises"
        return int(row["id"])


UNSAID = {"curated": False, "rapid_deploy": True, "deprecated": None, "unavailable_after": None}


def _said(before: DictRow | None) -> DictRow:
    """What the catalog says of an image, whatever it is built of."""
    if before is None or not before["curated"]:
        return {}
    return {column: before[column] for column in (*UNSAID, "description", "os_flavor", "os_version")}


CURRENT = """
SELECT * FROM images
WHERE project_id IS NULL AND name = %(name)s AND architecture = %(architecture)s AND superseded IS NULL FOR UPDATE"""

BUILT = """
UPDATE images SET digest = %(digest)s, disk_gib = %(disk_gib)s, has_agent = %(has_agent)s, status = 'available',
    doubted = NULL, quarantined = NULL, description = %(description)s,
    os_flavor = %(os_flavor)s, os_version = %(os_version)s
WHERE id = %(id)s"""

SUPERSEDE = """
UPDATE images SET superseded = now(), deprecated = coalesce(deprecated, now()),
    unavailable_after = coalesce(unavailable_after, now() + %(afterlife)s)
WHERE id = %(id)s"""

INSERT = """
INSERT INTO images (name, digest, disk_gib, description, os_flavor, os_version, architecture, has_agent, curated,
                    rapid_deploy, deprecated, unavailable_after)
VALUES (%(name)s, %(digest)s, %(disk_gib)s, %(description)s, %(os_flavor)s, %(os_version)s, %(architecture)s,
        %(has_agent)s, %(curated)s, %(rapid_deploy)s, %(deprecated)s, %(unavailable_after)s)
RETURNING id"""
