"""Changes of the catalog, written into the books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from psycopg import errors, sql

from infra.db.catalog_settings import catalog_settings, write_settings
from infra.db.pool import Connection
from infra.db.pools import ensure_pool
from infra.domain.catalog import NOUNS, SIZES, Change
from infra.domain.errors import Conflict
from infra.domain.sizes import GIB, MIB
from infra.domain.terms import Deprecation, LocalTerms, Price

SETTINGS = ("dns", "pricing", "default_location")
TYPES = {"server_types": "server_type_locations", "load_balancer_types": "load_balancer_type_locations"}


UNSAID: Mapping[str, Mapping[str, Any]] = {
    "locations": {"country": "", "city": "", "latitude": 0, "longitude": 0},
    "load_balancer_types": {"max_assigned_certificates": 0},
    "images": {"disk_gib": 1},
}
"""What a new entry has that is told nothing, where the books have no default of their own."""


async def write(connection: Connection, change: Change) -> None:
    """Inside a transaction. Conflict: somebody was quicker; nothing of the whole plan is to be kept then."""
    try:
        await _write(connection, change)
    except (errors.UniqueViolation, errors.ForeignKeyViolation) as cause:
        what = f"{NOUNS[change.section]} {change.name}".strip()
        if change.new and change.id is not None and (cause.diag.constraint_name or "").endswith("_pkey"):
            raise Conflict(f"{what} cannot have id {change.id}: it is taken") from cause
        raise Conflict(f"{what} was changed by somebody else at the same time; try again") from cause


async def _write(connection: Connection, change: Change) -> None:
    if change.section in SETTINGS:
        return await write_settings(connection, replace(await catalog_settings(connection), **change.fields))
    if change.section == "network_zones":
        await connection.execute("INSERT INTO network_zones (name) VALUES (%s)", (change.name,))
        return None
    if change.section == "address_pools":
        location_id = await _location_id(connection, change.fields["location"])
        return await ensure_pool(connection, location_id, change.fields["cidr"])
    id = await (_insert if change.new else _update)(connection, change)
    if "locations" in change.fields:
        await _write_local(connection, TYPES[change.section], id, change.fields["locations"] or {})
    return None


async def _insert(connection: Connection, change: Change) -> int:
    values = {**UNSAID.get(change.section, {}), **await _columns(connection, change)}
    if change.section != "images":
        values["name"] = change.name
    if change.id is not None:
        values["id"] = change.id
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        sql.Identifier(change.section),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    row = await (await connection.execute(query, values)).fetchone()
    assert row is not None, "INSERT ... RETURNING returns a row or raises"
    if change.id is not None:
        await _count_on(connection, change.section)
    return int(row["id"])


async def _update(connection: Connection, change: Change) -> int:
    assert change.id is not None, "what changes is in the books"
    if change.section == "server_types" and any(size in change.fields for size in SIZES):
        await _refuse_if_used(connection, change.id, change.name)
    values = await _columns(connection, change)
    if values:
        query = sql.SQL("UPDATE {} SET {} WHERE id = {}").format(
            sql.Identifier(change.section),
            sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), sql.Placeholder(c)) for c in values),
            sql.Literal(change.id),
        )
        await connection.execute(query, values)
    return change.id


async def _refuse_if_used(connection: Connection, type_id: int, name: str) -> None:
    """The lock keeps orders of the type waiting; those that came since the plan are found."""
    await connection.execute("SELECT id FROM server_types WHERE id = %s FOR UPDATE", (type_id,))
    used = await connection.execute("SELECT id FROM servers WHERE server_type_id = %s LIMIT 1", (type_id,))
    if await used.fetchone():
        raise Conflict(f"server type {name} was ordered meanwhile, so its size cannot change any more")


COUNT_ON = sql.SQL("""
SELECT setval({name}, highest)
FROM {sequence}, (SELECT max(id) AS highest FROM {table}) t WHERE highest >= last_value""")


async def _count_on(connection: Connection, table: str) -> None:
    """Ids that are given by counting stay above those that were given by hand."""
    sequence = f"{table}_id_seq"
    names = {"name": sql.Literal(sequence), "sequence": sql.Identifier(sequence), "table": sql.Identifier(table)}
    await connection.execute(COUNT_ON.format(**names))


async def _columns(connection: Connection, change: Change) -> dict[str, Any]:
    """What is written, by column."""
    columns: dict[str, Any] = {}
    for name, value in change.fields.items():
        match name:
            case "price":
                columns |= _price(value)
            case "deprecation":
                columns |= _deprecation(value, "deprecated" if change.section == "images" else "announced")
            case "memory":
                columns["memory_mib"] = value.bytes // MIB
            case "disk":
                columns["disk_gib"] = value.bytes // GIB
            case "agent":
                columns["has_agent"] = value
            case "location":
                columns["location_id"] = await _location_id(connection, value)
            case "locations":
                columns["everywhere"] = value is None
            case "source":
                columns |= await _built(connection, value, change.fields["architecture"])
            case _:
                columns[name] = value
    if change.section == "images":
        columns["curated"] = True
        if change.new:
            columns["status"] = "available" if columns.get("digest") else "unavailable"
    return columns


async def _built(connection: Connection, name: str, architecture: str) -> dict[str, Any]:
    found = await connection.execute(
        "SELECT digest, disk_gib, has_agent FROM images WHERE project_id IS NULL AND superseded IS NULL"
        " AND name = %s AND architecture = %s",
        (name, architecture),
    )
    row = await found.fetchone()
    assert row is not None, "the plan was made of the same books"
    return {**row}


async def _location_id(connection: Connection, name: str) -> int:
    row = await (await connection.execute("SELECT id FROM locations WHERE name = %s", (name,))).fetchone()
    assert row is not None, "the plan was made of the same books, and locations are never deleted"
    return int(row["id"])


async def _write_local(connection: Connection, table: str, type_id: int, local: Mapping[str, LocalTerms]) -> None:
    await connection.execute(sql.SQL("DELETE FROM {} WHERE type_id = %s").format(sql.Identifier(table)), (type_id,))
    for name, terms in local.items():
        values = {
            "type_id": type_id,
            "location_id": await _location_id(connection, name),
            "recommended": terms.recommended,
            **(_price(terms.price) if terms.price else {}),
            **_deprecation(terms.deprecation, "announced"),
        }
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        await connection.execute(query, values)


def _price(price: Price) -> dict[str, Any]:
    return {
        "price_hourly": price.hourly,
        "price_monthly": price.monthly,
        "included_traffic": price.included_traffic,
        "price_per_tb_traffic": price.per_tb_traffic,
    }


def _deprecation(deprecation: Deprecation | None, begins: str) -> dict[str, Any]:
    if deprecation is None:
        return {begins: None, "unavailable_after": None}
    said = asdict(deprecation)
    return {begins: said["announced"], "unavailable_after": said["unavailable_after"]}
