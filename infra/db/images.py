"""Images: what servers are made of. System images are seen by all; snapshots and backups belong to a project.

Of a name there is one for each architecture: a build of other bytes supersedes the one before, which stays usable by
its id and is listed nowhere. What is deleted is kept for the servers that were made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg import sql
from psycopg.types.json import Jsonb

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.db.selectors import conditions
from infra.db.terms import moment_of
from infra.domain.errors import Forbidden, NotFound
from infra.domain.labels import Selector
from infra.domain.refusals import Protected, ResourceInUse

COLUMNS = (
    *("id", "project_id", "type", "status", "name", "description", "os_flavor", "os_version", "architecture"),
    *("disk_gib", "digest", "has_agent", "labels", "created", "deprecated", "unavailable_after", "rapid_deploy"),
    *("size_gb", "created_from_id", "created_from_name", "bound_to", "protected", "deleted"),
)
MOMENTS = ("created", "deprecated", "unavailable_after", "deleted")
SELECT = sql.SQL("SELECT * FROM images")
SORTABLE = {column: sql.Identifier(column) for column in ("id", "name", "created")}
SEEN = sql.SQL("(project_id IS NULL OR project_id = %(project)s) AND deleted IS NULL")
ImageType = Literal["system", "app", "snapshot", "backup"]
ImageStatus = Literal["available", "creating", "unavailable"]
Architecture = Literal["x86", "arm"]

AFTERLIFE = timedelta(days=90)
"""How long a superseded build can still be ordered by its id."""


@dataclass(frozen=True, slots=True)
class CatalogueImage:
    """``name`` is None for snapshots and backups without one. ``project_id`` None: a system image, seen by all.
    ``disk_gib`` is 0 while it is not known: then nothing can be made of it.

    ``digest`` None: described, and not built yet. Deprecated at ``deprecated``, it can be ordered until
    ``unavailable_after``. ``size_gb``: what a snapshot or backup takes.
    """

    id: int
    project_id: int | None
    type: ImageType
    status: ImageStatus
    name: str | None
    description: str
    os_flavor: str
    os_version: str | None
    architecture: Architecture
    disk_gib: int
    digest: str | None
    has_agent: bool
    labels: dict[str, str]
    created: datetime
    deprecated: datetime | None
    unavailable_after: datetime | None
    rapid_deploy: bool
    size_gb: float | None
    created_from_id: int | None
    created_from_name: str | None
    bound_to: int | None
    protected: bool
    deleted: datetime | None


@dataclass(frozen=True, slots=True)
class ImageFilter:
    project_id: int
    name: str | None = None
    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    bound_to: tuple[int, ...] = ()
    include_deprecated: bool = False
    labels: Selector = field(default=())


@dataclass(frozen=True, slots=True)
class ImageChange:
    """None keeps what is there; labels replace the whole map. ``to_snapshot``: a backup becomes one."""

    description: str | None = None
    labels: dict[str, str] | None = None
    to_snapshot: bool = False


def image_of(row: Mapping[str, Any]) -> CatalogueImage:
    """From a row, or from a row as JSON, where times are text."""
    own = {column: row[column] for column in COLUMNS}
    return CatalogueImage(**{**own, **{name: moment_of(own[name]) for name in MOMENTS if own[name] is not None}})


async def get(connection: Connection, project_id: int, image_id: int) -> CatalogueImage:
    """One that the project may use, deprecated ones too."""
    query = sql.SQL("{} WHERE id = %(id)s AND {}").format(SELECT, SEEN)
    row = await (await connection.execute(query, {"id": image_id, "project": project_id})).fetchone()
    if row is None:
        raise NotFound.of("image", image_id)
    return image_of(row)


async def find_all(connection: Connection, wanted: ImageFilter, window: Window) -> Found[CatalogueImage]:
    tests: list[sql.Composable] = [SEEN, sql.SQL("superseded IS NULL")]
    if wanted.name is not None:
        tests.append(sql.SQL("name = %(name)s"))
    if not wanted.include_deprecated:
        tests.append(sql.SQL("(deprecated IS NULL OR deprecated > now())"))
    for column, asked in _lists(wanted).items():
        if asked:
            tests.append(sql.SQL("{} = ANY({})").format(sql.Identifier(column), sql.Placeholder(column)))
    tests += conditions(wanted.labels, sql.SQL("labels"))
    params = {"project": wanted.project_id, "name": wanted.name, **_lists(wanted)}
    return await find(connection, SELECT, sql.SQL("images"), tests, window, SORTABLE, image_of, params)


def _lists(wanted: ImageFilter) -> dict[str, list[Any]]:
    return {
        "type": list(wanted.types),
        "status": list(wanted.statuses),
        "architecture": list(wanted.architectures),
        "bound_to": list(wanted.bound_to),
    }


OWN = "id = %(id)s AND project_id = %(project)s AND type IN ('snapshot', 'backup') AND deleted IS NULL"


async def update(connection: Connection, project_id: int, image_id: int, change: ImageChange) -> CatalogueImage:
    """Forbidden: a system image. A backup that becomes a snapshot is bound to its server no more."""
    done = await connection.execute(
        "UPDATE images SET description = coalesce(%(description)s, description), labels = coalesce(%(labels)s, labels),"
        " type = CASE WHEN %(to_snapshot)s THEN 'snapshot' ELSE type END,"
        " bound_to = CASE WHEN %(to_snapshot)s THEN NULL ELSE bound_to END"
        f" WHERE {OWN}",
        {
            "id": image_id,
            "project": project_id,
            "description": change.description,
            "labels": Jsonb(change.labels) if change.labels is not None else None,
            "to_snapshot": change.to_snapshot,
        },
    )
    found = await get(connection, project_id, image_id)
    if done.rowcount == 0:
        raise _not_yours(found, "changed")
    return found


NEEDED = """
SELECT EXISTS (SELECT FROM servers WHERE image_id = %(id)s AND status = 'initializing') AS needed"""


async def delete(connection: Connection, project_id: int, image_id: int) -> bool:
    """Whether it was still being made: whoever makes it has to be told. Forbidden: a system image. Protected: its
    protection must be lifted first. ResourceInUse: a server is being made of it."""
    values = {"id": image_id, "project": project_id}
    async with connection.transaction():
        # An order locks the row, as its foreign key does: one that is written by now is waited for, and seen below. One
        # that waits for this lock is taken all the same: it chose the image while it was there, and the store keeps
        # what a server is being made of, from when its order is in the books.
        found = await connection.execute(f"SELECT status FROM images WHERE {OWN} AND NOT protected FOR UPDATE", values)
        if own := await found.fetchone():
            needed = await (await connection.execute(NEEDED, values)).fetchone()
            if needed and needed["needed"]:
                raise ResourceInUse(f"image with ID {image_id} is still in use: a server is being made of it")
            await connection.execute("UPDATE images SET deleted = now() WHERE id = %(id)s", values)
            return bool(own["status"] == "creating")
    found_there = await get(connection, project_id, image_id)
    if found_there.protected:
        raise Protected("image deletion is protected")
    raise _not_yours(found_there, "deleted")


async def protect(connection: Connection, project_id: int, image_id: int, protected: bool | None) -> None:
    """Of snapshots; None keeps it as it is."""
    done = await connection.execute(
        f"UPDATE images SET protected = coalesce(%(protected)s, protected) WHERE {OWN} AND type = 'snapshot'",
        {"id": image_id, "project": project_id, "protected": protected},
    )
    if done.rowcount == 0:
        found = await get(connection, project_id, image_id)
        raise Forbidden(f"image {image_id} is a {found.type} image: only snapshots can be protected")


def _not_yours(found: CatalogueImage, what: str) -> Forbidden:
    return Forbidden(f"image {found.id} is a {found.type} image: only snapshots and backups can be {what}")
