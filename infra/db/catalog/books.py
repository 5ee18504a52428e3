"""The catalog as the books have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.db.catalog_settings import CatalogSettings, catalog_settings
from infra.db.load_balancer_types import LIMITS, load_balancer_types
from infra.db.locations import Location, locations, network_zones
from infra.db.pool import Connection
from infra.db.server_types import server_types
from infra.db.terms import deprecation_of
from infra.domain.catalog import Books, Key, Known
from infra.domain.sizes import GIB, MIB, Size
from infra.domain.terms import Deprecation, Terms

DNS = ("name_servers", "ptr_template")
PRICING = tuple(name for name in CatalogSettings.__slots__ if name not in (*DNS, "default_location"))
PLACE = ("description", "country", "city", "latitude", "longitude", "network_zone", "density_target")


async def present(connection: Connection) -> Books:
    """Every entry, each section in the order of its ids."""
    places = await locations(connection)
    names = {place.id: place.name for place in places}
    found: dict[Key, Known] = {("network_zones", name): Known({}) for name in await network_zones(connection)}
    found |= dict(_places(places))
    found |= await _server_types(connection, names)
    found |= await _load_balancer_types(connection, names)
    found |= await _images(connection)
    found |= await _isos(connection)
    found |= await _pools(connection)
    found |= _settings(await catalog_settings(connection))
    return found


def _places(places: list[Location]) -> Iterator[tuple[Key, Known]]:
    for place in places:
        yield ("locations", place.name), Known({name: getattr(place, name) for name in PLACE}, place.id)
    housed = [(one.id, one, place.name) for place in places for one in place.datacenters]
    for id, one, name in sorted(housed):
        yield ("datacenters", one.name), Known({"description": one.description, "location": name}, id)


async def _server_types(connection: Connection, names: Mapping[int, str]) -> dict[Key, Known]:
    found = await connection.execute("SELECT server_type_id AS id, count(*) FROM servers GROUP BY server_type_id")
    used = {row["id"]: row["count"] for row in await found.fetchall()}
    return {
        ("server_types", one.name): Known(
            {
                "description": one.description,
                "cores": one.cores,
                "memory": Size(one.memory_mib * MIB),
                "disk": Size(one.disk_gib * GIB),
                "cpu_type": one.cpu_type,
                "storage_type": one.storage_type,
                "category": one.category,
                "architecture": one.architecture,
                **_terms(one.terms, names),
            },
            one.id,
            used_by=used.get(one.id, 0),
        )
        for one in await server_types(connection)
    }


async def _load_balancer_types(connection: Connection, names: Mapping[int, str]) -> dict[Key, Known]:
    return {
        ("load_balancer_types", one.name): Known(
            {name: getattr(one, name) for name in ("description", *LIMITS)} | _terms(one.terms, names), one.id
        )
        for one in await load_balancer_types(connection)
    }


def _terms(terms: Terms, names: Mapping[int, str]) -> dict[str, Any]:
    local = None if terms.everywhere else {names[id]: one for id, one in terms.local.items()}
    return {"price": terms.price, "deprecation": terms.deprecation, "locations": local}


IMAGES = """
SELECT i.*, ARRAY(SELECT o.id FROM images o WHERE o.project_id IS NULL AND o.name = i.name
                  AND o.architecture = i.architecture AND o.superseded IS NOT NULL ORDER BY o.id) AS former_ids
FROM images i WHERE i.project_id IS NULL AND i.superseded IS NULL ORDER BY i.id"""


async def _images(connection: Connection) -> dict[Key, Known]:
    """System images, each as its newest build."""
    rows = await (await connection.execute(IMAGES)).fetchall()
    said = ("name", "architecture", "description", "os_flavor", "os_version", "rapid_deploy")
    return {
        ("images", f"{row['name']} ({row['architecture']})"): Known(
            {
                **{name: row[name] for name in said},
                "deprecation": row["deprecated"] and Deprecation(row["deprecated"], row["unavailable_after"]),
            },
            row["id"],
            once={"digest": row["digest"], "disk": Size(row["disk_gib"] * GIB), "agent": row["has_agent"]},
            former_ids=tuple(row["former_ids"]),
        )
        for row in rows
    }


async def _isos(connection: Connection) -> dict[Key, Known]:
    rows = await (await connection.execute("SELECT * FROM isos ORDER BY id")).fetchall()
    said = ("description", "type", "architecture")
    return {
        ("isos", row["name"]): Known(
            {**{name: row[name] for name in said}, "deprecation": deprecation_of(row)}, row["id"]
        )
        for row in rows
    }


async def _pools(connection: Connection) -> dict[Key, Known]:
    found = await connection.execute(
        "SELECT p.cidr::text, l.name AS location FROM address_pools p JOIN locations l ON l.id = p.location_id"
        " ORDER BY p.id"
    )
    return {("address_pools", f"{row['cidr']} in {row['location']}"): Known({**row}) for row in await found.fetchall()}


def _settings(settings: CatalogSettings) -> dict[Key, Known]:
    return {
        ("dns", ""): Known({name: getattr(settings, name) for name in DNS}),
        ("pricing", ""): Known({name: getattr(settings, name) for name in PRICING}),
        ("default_location", ""): Known({"default_location": settings.default_location}),
    }
