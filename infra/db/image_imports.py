"""Imports of images in the books: what was said of one, which parts of it are in the store, and how it ended.

A part counts once it is acknowledged here. Who writes is named by ``writer``: another one that takes the place over
voids whatever the one before has not acknowledged, and neither waits for the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from infra.db.images import Architecture
from infra.db.named import name_taken
from infra.db.pool import Connection
from infra.domain.errors import Conflict, NotFound, QuotaExceeded, UniquenessError
from infra.domain.image_header import Format
from infra.domain.imports import (
    GIB,
    IMAGE_DELETED,
    FailedImport,
    FinishedImport,
    Phase,
    in_gib,
    largest_upload,
    percent,
)
from infra.domain.models import Failure


@dataclass(frozen=True, slots=True)
class NewImport:
    """An image as it was ordered. ``sha256`` (hex), ``size`` (bytes) and ``format``: as they were said, if they were.
    ``source_url`` None: it is uploaded."""

    project_id: int
    name: str | None
    description: str
    labels: dict[str, str]
    architecture: Architecture
    sha256: str | None = None
    size: int | None = None
    format: Format | None = None
    source_url: str | None = None


@dataclass(frozen=True, slots=True)
class Import:
    """``silent``: seconds since the last byte came. ``image_gone``: it was deleted."""

    image_id: int
    action_id: int
    source_url: str | None
    sha256: str | None
    size: int | None
    format: Format | None
    received: int
    writer: UUID | None
    validator: str | None
    uploaded: datetime | None
    touched: datetime
    silent: float
    project_id: int
    image_gone: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """The place of one writer: what it writes begins at ``start``."""

    image_id: int
    writer: UUID
    start: int
    size: int | None


class WrongOffset(Conflict):
    """``details["offset"]``: where the upload goes on."""

    @classmethod
    def at(cls, received: int) -> WrongOffset:
        return cls(f"the upload goes on at offset {received}", {"offset": received})


MAKE_IMAGE = """
INSERT INTO images (project_id, type, status, name, description, labels, architecture, disk_gib)
SELECT %(project_id)s, 'snapshot', 'creating', %(name)s, %(description)s, %(labels)s, %(architecture)s, 0
WHERE NOT EXISTS (SELECT FROM images WHERE project_id IS NULL AND name = %(name)s AND superseded IS NULL)
RETURNING id"""

MAKE_IMPORT = """
INSERT INTO image_imports (image_id, action_id, source_url, sha256, size, format)
VALUES (%(image_id)s, %(action_id)s, %(source_url)s, %(sha256)s, %(size)s, %(format)s)"""

SELECT = """
SELECT m.*, extract(epoch FROM now() - m.touched)::float8 AS silent, i.project_id, i.deleted IS NOT NULL AS image_gone
FROM image_imports m JOIN images i ON i.id = m.image_id
"""


async def largest(connection: Connection) -> int:
    """Bytes that an upload may have: what the largest plan's disk takes."""
    return largest_upload(await largest_disk(connection))


async def largest_disk(connection: Connection) -> int:
    """In GiB: that of the largest plan. No larger disk could be made into a server."""
    row = await (await connection.execute("SELECT coalesce(max(disk_gib), 0) AS gib FROM server_types")).fetchone()
    return int(row["gib"]) if row else 0


@dataclass(frozen=True, slots=True)
class Room:
    """What a project may have: images on their way ``at_once``, ``images`` in all, and GiB of them in the store."""

    at_once: int
    images: int
    gib: float


KEPT = """
SELECT count(*) FILTER (WHERE i.status = 'creating') AS creating, count(*) AS images,
       coalesce(sum(coalesce(i.size_gb, m.size / %(gib)s, 0)), 0)::float8 AS gib
FROM images i LEFT JOIN image_imports m ON m.image_id = i.id
WHERE i.project_id = %(project_id)s AND i.deleted IS NULL"""


async def keep_room(connection: Connection, project_id: int, room: Room, size: int | None = None) -> None:
    """Until the transaction ends nobody else begins an image of the project. QuotaExceeded: it makes, or has, as many
    as it may. ``size``: bytes of the image's file, where they were said; of one on its way they count as its size."""
    await connection.execute("SELECT FROM projects WHERE id = %s FOR NO KEY UPDATE", (project_id,))
    values = {"project_id": project_id, "gib": float(GIB)}
    row = await (await connection.execute(KEPT, values)).fetchone() or {"creating": 0, "images": 0, "gib": 0.0}
    asked = (size or 0) / GIB
    counted: tuple[tuple[str, str, float, float, float, bool], ...] = (
        ("images_creating", "brings in at most {} images at a time", room.at_once, row["creating"], 1, True),
        ("images", "has at most {} images", room.images, row["images"], 1, True),
        ("image_gb", "has at most {} GB of images", room.gib, row["gib"], asked, row["gib"] < room.gib),
    )
    broken = [
        (said.format(f"{limit:g}"), _limit(resource, limit, used, more))
        for resource, said, limit, used, more, open_yet in counted
        if used + more > limit or not open_yet
    ]
    if broken:
        words = " and ".join(said for said, _ in broken)
        raise QuotaExceeded(f"a project {words}", {"limits": [limit for _, limit in broken]})


def _limit(resource: str, limit: float, used: float, asked: float) -> dict[str, Any]:
    return {"name": "project_limit", "resource": resource, "limit": limit, "used": used, "asked": asked}


async def make_image(connection: Connection, new: NewImport) -> int:
    """The image, ``creating``; its id. UniquenessError: the project, or the system, has one of that name."""
    values = {
        "project_id": new.project_id,
        "name": new.name,
        "description": new.description,
        "labels": Jsonb(new.labels),
        "architecture": new.architecture,
    }
    async with name_taken():
        row = await (await connection.execute(MAKE_IMAGE, values)).fetchone()
    if row is None:
        raise UniquenessError.of("name", "name is that of a system image")
    return int(row["id"])


async def make_import(connection: Connection, image_id: int, action_id: int, new: NewImport) -> None:
    said = {"source_url": new.source_url, "sha256": new.sha256, "size": new.size, "format": new.format}
    await connection.execute(MAKE_IMPORT, {"image_id": image_id, "action_id": action_id, **said})


async def find(connection: Connection, image_id: int) -> Import | None:
    """For the story, whosever it is."""
    row = await (await connection.execute(SELECT + "WHERE m.image_id = %s", (image_id,))).fetchone()
    return Import(**row) if row else None


async def get(connection: Connection, project_id: int, image_id: int) -> Import:
    """NotFound: the project has no such image, or it was not brought in."""
    query = SELECT + "WHERE m.image_id = %s AND i.project_id = %s AND i.deleted IS NULL"
    row = await (await connection.execute(query, (image_id, project_id))).fetchone()
    if row is None:
        raise NotFound(f"there is no upload of an image with ID '{image_id}'")
    return Import(**row)


async def take_place(connection: Connection, found: Import, offset: int) -> Writing:
    """Become the one who writes, from ``offset`` on. WrongOffset: other bytes are wanted, or none any more."""
    writer = uuid4()
    done = await connection.execute(
        "UPDATE image_imports SET writer = %s, touched = now() WHERE image_id = %s AND received = %s"
        " AND uploaded IS NULL RETURNING received",
        (writer, found.image_id, offset),
    )
    if await done.fetchone() is None:
        now = await find(connection, found.image_id)
        raise WrongOffset.at(now.received if now else found.received)
    return Writing(found.image_id, writer, offset, found.size)


ACKNOWLEDGE = """
UPDATE image_imports m SET received = %(received)s, touched = now(), uploaded = CASE WHEN %(last)s THEN now() END
FROM images i
WHERE m.image_id = %(image_id)s AND m.writer = %(writer)s AND m.uploaded IS NULL AND i.id = m.image_id
  AND i.deleted IS NULL
RETURNING m.action_id, m.size"""

SEGMENT = """
INSERT INTO image_segments (image_id, start, length, name) VALUES (%(image_id)s, %(start)s, %(length)s, %(name)s)
ON CONFLICT (image_id, start) DO UPDATE SET length = excluded.length, name = excluded.name"""


async def acknowledge(
    connection: Connection, writing: Writing, name: str, length: int, last: bool, total: int | None = None
) -> None:
    """So much of what this writer wrote is in the store for good; ``last``: with that, all of it is.

    ``total``: bytes of the whole, where somebody but the owner said it. WrongOffset: another has taken the place.
    """
    values = {"image_id": writing.image_id, "writer": writing.writer, "start": writing.start, "length": length}
    async with connection.transaction():
        received = {"received": writing.start + length, "last": last}
        row = await (await connection.execute(ACKNOWLEDGE, {**values, **received})).fetchone()
        if row is None:
            raise await _superseded(connection, writing)
        if length:
            await connection.execute(SEGMENT, {**values, "name": name})
        await _advance(connection, row["action_id"], percent("receive", writing.start + length, row["size"] or total))


async def _superseded(connection: Connection, writing: Writing) -> WrongOffset | NotFound:
    now = await find(connection, writing.image_id)
    if now is None or now.image_gone:
        return NotFound.of("image", writing.image_id)
    told = f"another request has taken the upload over, at offset {now.received}"
    return WrongOffset(told, {"offset": now.received})


async def begin_anew(connection: Connection, writing: Writing, validator: str | None) -> None:
    """What was fetched so far is of no use: the source begins anew. Nothing, where another has the place."""
    async with connection.transaction():
        done = await connection.execute(
            "UPDATE image_imports SET received = 0, validator = %s WHERE image_id = %s AND writer = %s",
            (validator, writing.image_id, writing.writer),
        )
        if done.rowcount:
            await connection.execute("DELETE FROM image_segments WHERE image_id = %s", (writing.image_id,))


async def segments(connection: Connection, image_id: int) -> list[tuple[str, int, int]]:
    """Name, start and length of each part, in order."""
    query = "SELECT name, start, length FROM image_segments WHERE image_id = %s ORDER BY start"
    rows = await (await connection.execute(query, (image_id,))).fetchall()
    return [(row["name"], row["start"], row["length"]) for row in rows]


async def advance(connection: Connection, action_id: int, phase: Phase, done: int, total: int | None) -> None:
    await _advance(connection, action_id, percent(phase, done, total))


async def _advance(connection: Connection, action_id: int, reached: int) -> None:
    """Never back: a step that is done again has been there before."""
    await connection.execute(
        "UPDATE actions SET progress = %s WHERE id = %s AND status = 'running' AND progress < %s",
        (reached, action_id, reached),
    )


FINISH_IMAGE = """
UPDATE images SET status = 'available', digest = %(digest)s, disk_gib = %(disk_gib)s, size_gb = %(size_gb)s
WHERE id = %(image_id)s AND status = 'creating' AND deleted IS NULL"""

END_ACTION = """
UPDATE actions SET status = %(status)s, progress = CASE WHEN %(status)s = 'success' THEN 100 ELSE progress END,
                   finished = now(), error_code = %(code)s, error_message = %(message)s, timeline = %(timeline)s
WHERE id = %(action_id)s AND status = 'running'"""


async def finish(connection: Connection, finished: FinishedImport, timeline: list[dict[str, Any]]) -> None:
    """The image is there to be used; again is fine. One that was deleted meanwhile stays so."""
    image_id, stored = finished.change.resource.id, finished.stored
    values = {
        "image_id": image_id,
        "digest": stored.digest,
        "disk_gib": in_gib(stored.virtual_size),
        "size_gb": round(stored.size / GIB, 3),
    }
    async with connection.transaction():
        done = await connection.execute(FINISH_IMAGE, values)
        deleted = done.rowcount == 0 and await _is_deleted(connection, image_id)
        await _end(connection, finished.change.action_id, IMAGE_DELETED if deleted else None, timeline)
        await connection.execute("DELETE FROM image_segments WHERE image_id = %s", (image_id,))


async def fail(connection: Connection, failed: FailedImport, timeline: list[dict[str, Any]]) -> None:
    """The action says why, and the image is gone; again is fine."""
    async with connection.transaction():
        await connection.execute(
            "UPDATE images SET status = 'unavailable', deleted = coalesce(deleted, now())"
            " WHERE id = %s AND status = 'creating'",
            (failed.change.resource.id,),
        )
        await connection.execute("DELETE FROM image_imports WHERE image_id = %s", (failed.change.resource.id,))
        await _end(connection, failed.change.action_id, failed.failure, timeline)


async def _is_deleted(connection: Connection, image_id: int) -> bool:
    query = "SELECT FROM images WHERE id = %s AND deleted IS NOT NULL"
    return await (await connection.execute(query, (image_id,))).fetchone() is not None


async def _end(connection: Connection, action_id: int, failure: Failure | None, timeline: list[dict[str, Any]]) -> None:
    values = {
        "status": "error" if failure else "success",
        "code": failure.code if failure else None,
        "message": failure.message if failure else None,
        "timeline": Jsonb(timeline),
        "action_id": action_id,
    }
    await connection.execute(END_ACTION, values)


async def under_way(connection: Connection) -> set[int]:
    """The images that are being made: whose scratch nobody may clear away."""
    rows = await (
        await connection.execute("SELECT id FROM images WHERE status = 'creating' AND deleted IS NULL")
    ).fetchall()
    return {int(row["id"]) for row in rows}
