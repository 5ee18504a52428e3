"""Locations and their datacenters: where there is something to order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.db.catalog_settings import PTR_TEMPLATE
from infra.db.pool import Connection
from infra.domain.errors import NotFound

LOCATIONS = """
SELECT l.*, ARRAY(SELECT DISTINCT h.architecture FROM hosts h
                  WHERE h.location_id = l.id AND h.state = 'accepting') AS architectures,
       ARRAY(SELECT jsonb_build_object('id', d.id, 'name', d.name, 'description', d.description)
             FROM datacenters d WHERE d.location_id = l.id ORDER BY d.id) AS datacenters,
       coalesce(l.id = (SELECT default_location_id FROM catalog_settings), false) AS is_default,
       (SELECT ptr_template FROM catalog_settings) AS ptr_template
FROM locations l ORDER BY l.id"""


@dataclass(frozen=True, slots=True)
class Datacenter:
    id: int
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Location:
    """``architectures``: those of the hosts there that accept servers; empty where nothing can be placed.

    ``datacenters``: the first one stands for the location. ``is_default``: the catalog says so.
    ``ptr_template``: what addresses there are called until their owners say otherwise (infra/domain/dns_ptr.py).
    """

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
    datacenters: tuple[Datacenter, ...] = ()
    is_default: bool = False
    ptr_template: str = PTR_TEMPLATE


def location_of(row: Mapping[str, Any]) -> Location:
    """From a row of ``LOCATIONS``, or from the location alone."""
    template = row.get("ptr_template")  # None: the catalog says nothing of it
    found = {
        "ptr_template": PTR_TEMPLATE if template is None else template,
        "architectures": tuple(row.get("architectures", ())),
        "datacenters": tuple(Datacenter(**one) for one in row.get("datacenters", ())),
    }
    return Location(**{**row, **found})


async def locations(connection: Connection) -> list[Location]:
    """All of them: a region has few."""
    return [location_of(row) for row in await (await connection.execute(LOCATIONS)).fetchall()]


async def network_zones(connection: Connection) -> list[str]:
    found = await connection.execute("SELECT name FROM network_zones ORDER BY name")
    return [row["name"] for row in await found.fetchall()]


def preferred(offered: Sequence[Location], configured: str) -> Location | None:
    """For who names none: the catalog's default, else the one of the settings, else the first with hosts."""
    ranked = sorted(offered, key=lambda one: (not one.is_default, one.name != configured, not one.architectures))
    return next(iter(ranked), None)


async def find_location(connection: Connection, name: str) -> int:
    """Its id. NotFound, which names those that there are."""
    found = await connection.execute("SELECT id, name FROM locations ORDER BY name")
    ids = {row["name"]: int(row["id"]) for row in await found.fetchall()}
    if name not in ids:
        raise NotFound(f"there is no location {name}; there are: {', '.join(ids) or 'none'}")
    return ids[name]


async def ensure_location(
    connection: Connection, name: str, *, network_zone: str | None = None, description: str | None = None
) -> int:
    """The location of that name, made with a datacenter when it is missing; one that exists stays as it is."""
    async with connection.transaction():
        zone = network_zone or name
        await connection.execute("INSERT INTO network_zones (name) VALUES (%s) ON CONFLICT DO NOTHING", (zone,))
        await connection.execute(
            "INSERT INTO locations (name, description, country, city, latitude, longitude, network_zone)"
            " VALUES (%s, %s, '', '', 0, 0, %s) ON CONFLICT (name) DO NOTHING",
            (name, description or name, zone),
        )
        await ensure_datacenters(connection)
        row = await (await connection.execute("SELECT id FROM locations WHERE name = %s", (name,))).fetchone()
    assert row is not None, "locations are never deleted"
    return int(row["id"])


async def ensure_datacenters(connection: Connection) -> None:
    """One for each location that has none."""
    await connection.execute(
        "INSERT INTO datacenters (name, description, location_id)"
        " SELECT l.name || '-dc1', l.description || ' DC 1', l.id FROM locations l"
        " WHERE NOT EXISTS (SELECT FROM datacenters d WHERE d.location_id = l.id) ON CONFLICT (name) DO NOTHING"
    )
