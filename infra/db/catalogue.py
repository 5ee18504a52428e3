"""The catalogue: locations, server types and images, as they are offered, and how they come into the books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.db.selectors import conditions
from infra.domain.labels import Selector

ID_NAME: Mapping[str, sql.Composable] = {"id": sql.SQL("id"), "name": sql.SQL("name")}


@dataclass(frozen=True, slots=True)
class Location:
    """``architectures``: those of the hosts there that accept servers; empty where nothing can be placed."""

    id: int
    name: str
    description: str
    country: str
    city: str
    latitude: float
    longitude: float
    network_zone: str
    density_target: float = 0.75
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerType:
    """Memory in MiB, disk in GiB; prices as decimal text."""

    id: int
    name: str
    description: str
    cores: int
    memory_mib: int
    disk_gib: int
    cpu_type: str
    category: str
    architecture: str
    price_hourly: str
    price_monthly: str


@dataclass(frozen=True, slots=True)
class CatalogueImage:
    """``name`` is None for snapshots and backups. ``project_id`` None: a system image, seen by all."""

    id: int
    project_id: int | None
    type: str
    status: str
    name: str | None
    description: str
    os_flavor: str
    os_version: str | None
    architecture: str
    disk_gib: int
    digest: str
    has_agent: bool
    labels: dict[str, str]
    created: datetime
    deprecated: datetime | None


@dataclass(frozen=True, slots=True)
class NewImage:
    """A system image as a guest build hands it over. ``digest``: sha256 of the raw disk, its name in the store."""

    name: str
    digest: str
    disk_gib: int
    description: str
    os_flavor: str = "unknown"
    os_version: str | None = None
    architecture: str = "x86"
    has_agent: bool = True


@dataclass(frozen=True, slots=True)
class ImageFilter:
    project_id: int
    name: str | None = None
    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    include_deprecated: bool = False
    labels: Selector = field(default=())


LOCATIONS = """
SELECT l.*, ARRAY(SELECT DISTINCT h.architecture FROM hosts h
                  WHERE h.location_id = l.id AND h.state = 'accepting') AS architectures
FROM locations l ORDER BY l.id"""
SERVER_TYPES = "SELECT * FROM server_types ORDER BY id"
IMAGES = sql.SQL("SELECT * FROM images")

# (name, cores, memory in MiB, disk in GiB): each about twice the one before.
LADDER = (
    ("px1", 1, 256, 2),
    ("px2", 1, 512, 5),
    ("px3", 2, 1024, 10),
    ("px4", 2, 2048, 20),
    ("px5", 4, 4096, 40),
)


def location_of(row: Mapping[str, Any]) -> Location:
    return Location(**{**row, "architectures": tuple(row.get("architectures", ()))})


def server_type_of(row: Mapping[str, Any]) -> ServerType:
    return ServerType(**{**row, "price_hourly": str(row["price_hourly"]), "price_monthly": str(row["price_monthly"])})


def image_of(row: Mapping[str, Any]) -> CatalogueImage:
    """From a row, or from a row as JSON, where times are text."""
    times = {key: _time(row[key]) for key in ("created", "deprecated")}
    return CatalogueImage(**{**row, **times})


def _time(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


async def locations(connection: Connection) -> list[Location]:
    """All of them: a region has few."""
    return [location_of(row) for row in await (await connection.execute(LOCATIONS)).fetchall()]


async def server_types(connection: Connection) -> list[ServerType]:
    return [server_type_of(row) for row in await (await connection.execute(SERVER_TYPES)).fetchall()]


async def image(connection: Connection, project_id: int, image_id: int) -> CatalogueImage | None:
    """One that the project may use, deprecated ones too."""
    found = await connection.execute(
        "SELECT * FROM images WHERE id = %s AND (project_id IS NULL OR project_id = %s)", (image_id, project_id)
    )
    row = await found.fetchone()
    return image_of(row) if row else None


async def images(connection: Connection, wanted: ImageFilter, window: Window) -> Found[CatalogueImage]:
    tests: list[sql.Composable] = [sql.SQL("(project_id IS NULL OR project_id = %(project)s)")]
    if wanted.name is not None:
        tests.append(sql.SQL("name = %(name)s"))
    if not wanted.include_deprecated:
        tests.append(sql.SQL("deprecated IS NULL"))
    for column in ("types", "statuses", "architectures"):
        if getattr(wanted, column):
            singular = {"types": "type", "statuses": "status", "architectures": "architecture"}[column]
            tests.append(sql.SQL("{} = ANY({})").format(sql.Identifier(singular), sql.Placeholder(column)))
    tests += conditions(wanted.labels, sql.SQL("labels"))
    params = {
        "project": wanted.project_id,
        "name": wanted.name,
        "types": list(wanted.types),
        "statuses": list(wanted.statuses),
        "architectures": list(wanted.architectures),
    }
    columns = {**ID_NAME, "created": sql.SQL("created")}
    return await find(connection, IMAGES, tests, window, columns, image_of, params)


async def ensure_location(
    connection: Connection, name: str, *, network_zone: str | None = None, description: str | None = None
) -> int:
    """The location of that name, made when it is missing; one that exists stays as it is."""
    await connection.execute(
        "INSERT INTO locations (name, description, country, city, latitude, longitude, network_zone)"
        " VALUES (%s, %s, '', '', 0, 0, %s) ON CONFLICT (name) DO NOTHING",
        (name, description or name, network_zone or name),
    )
    row = await (await connection.execute("SELECT id FROM locations WHERE name = %s", (name,))).fetchone()
    assert row is not None, "locations are never deleted"
    return int(row["id"])


async def ensure_server_types(connection: Connection, ladder: Iterable[tuple[str, int, int, int]] = LADDER) -> None:
    """The default plans; one that exists stays as the operator made it."""
    for name, cores, memory, disk in ladder:
        size = f"{memory // 1024} GiB" if memory >= 1024 else f"{memory} MiB"
        await connection.execute(
            "INSERT INTO server_types (name, description, cores, memory_mib, disk_gib) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (name) DO NOTHING",
            (name, f"{cores} vCPU, {size} memory, {disk} GiB disk", cores, memory, disk),
        )


async def ensure_catalogue(connection: Connection, location: str) -> int:
    """What every installation offers: one location and the default plans. Returns the location's id."""
    async with connection.transaction():
        await ensure_server_types(connection)
        return await ensure_location(connection, location)


async def register_image(connection: Connection, new: NewImage) -> int:
    """Offer a system image; again at will. A build of other bytes takes the name over and deprecates the older."""
    async with connection.transaction():
        # Builds that end together queue here: otherwise both would find the name free.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('images'), hashtext(%s))", (new.name,))
        await connection.execute(
            "UPDATE images SET deprecated = now() WHERE project_id IS NULL AND name = %s AND architecture = %s"
            " AND deprecated IS NULL AND digest <> %s",
            (new.name, new.architecture, new.digest),
        )
        row = await (await connection.execute(REGISTER, _values(new))).fetchone()
        assert row is not None, "ON CONFLICT DO UPDATE always returns a row"
        return int(row["id"])


REGISTER = """
INSERT INTO images (name, digest, disk_gib, description, os_flavor, os_version, architecture, has_agent, labels)
VALUES (%(name)s, %(digest)s, %(disk_gib)s, %(description)s, %(os_flavor)s, %(os_version)s, %(architecture)s,
        %(has_agent)s, %(labels)s)
ON CONFLICT (name, architecture) WHERE project_id IS NULL AND deprecated IS NULL
DO UPDATE SET description = excluded.description, disk_gib = excluded.disk_gib, has_agent = excluded.has_agent,
              os_flavor = excluded.os_flavor, os_version = excluded.os_version
RETURNING id"""


def _values(new: NewImage) -> DictRow:
    return {
        "name": new.name,
        "digest": new.digest,
        "disk_gib": new.disk_gib,
        "description": new.description,
        "os_flavor": new.os_flavor,
        "os_version": new.os_version,
        "architecture": new.architecture,
        "has_agent": new.has_agent,
        "labels": Jsonb({}),
    }
