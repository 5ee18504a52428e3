"""Zones in the books. Whoever changes one, or its RRSets, holds its row's lock until the transaction ends.

A change of what a zone answers ends with ``settle``: its serial rises, and its records are counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.db.pools import pools
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.names import as_id
from infra.domain.refusals import IncorrectZoneMode, Protected
from infra.domain.reverse_zones import is_taken
from infra.domain.zones import (
    MOST_RECORDS,
    Mode,
    PrimaryNameserver,
    domain_of,
    names_above,
    names_below,
    next_serial,
    serial_of,
    with_serial,
    zone_name_problem,
)

SELECT = sql.SQL("""
SELECT r.id, r.name, r.mode, r.ttl, r.name_servers, r.primary_nameservers, r.record_count, r.protected, r.labels,
       r.created
FROM zones r""")

LOCK_DOMAIN = "SELECT pg_advisory_xact_lock(hashtext('zones'), hashtext(%s))"
STRANGERS = """
SELECT count(*) AS strangers FROM zones
WHERE project_id <> %(project_id)s
  AND (name = ANY(%(above)s) OR reverse(name) COLLATE "C" >= %(first)s AND reverse(name) COLLATE "C" < %(beyond)s)
"""
"""Zones of other projects that the name lies in, or that lie in it."""

PROTECTED = "RRSet(s) is/are change protected"
"""As clients know it."""
SOA = "SELECT records FROM rrsets WHERE zone_id = %s AND name = '@' AND type = 'SOA'"
NEW_SOA = "UPDATE rrsets SET records = %s WHERE zone_id = %s AND name = '@' AND type = 'SOA'"
COUNT = """
UPDATE zones SET record_count = (
    SELECT coalesce(sum(jsonb_array_length(records)), 0) FROM rrsets WHERE zone_id = zones.id
)
WHERE id = %s RETURNING record_count
"""


@dataclass(frozen=True, slots=True)
class Zone:
    """``name_servers``: which answer for it, absolute. ``primary_nameservers``: of a secondary zone only."""

    id: int
    name: str
    mode: Mode
    ttl: int
    name_servers: list[str]
    primary_nameservers: tuple[PrimaryNameserver, ...]
    record_count: int
    protected: bool
    labels: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class NewZone:
    project_id: int
    name: str
    mode: Mode
    ttl: int
    name_servers: tuple[str, ...]
    primary_nameservers: tuple[PrimaryNameserver, ...]
    labels: dict[str, str]


def _zone(row: DictRow) -> Zone:
    primaries = tuple(PrimaryNameserver(**one) for one in row["primary_nameservers"])
    return Zone(**{**row, "primary_nameservers": primaries})


KIND = Kind("zones", "zone", SELECT, _zone)


async def create(connection: Connection, new: NewZone) -> int:
    """Without RRSets; its id. UniquenessError: some project has a zone of that name, or another project one above or
    below it."""
    await refuse_strangers(connection, new.project_id, new.name)
    values: dict[str, Any] = {
        **{name: getattr(new, name) for name in ("project_id", "name", "mode", "ttl")},
        "name_servers": list(new.name_servers),
        "primary_nameservers": _primaries(new.primary_nameservers),
        "labels": Jsonb(new.labels),
    }
    return await KIND.insert(connection, values)


async def refuse_strangers(connection: Connection, project_id: int, name: str) -> None:
    """One set of name servers answers by the longest name that fits: whoever had a part of another's domain would have
    its names. Asked under the domain's lock, so that of two who come at once the second one sees the first."""
    if is_taken(name, await pools(connection)):
        raise UniquenessError.of("name", "this zone holds the names of addresses that are given out here")
    await connection.execute(LOCK_DOMAIN, (domain_of(name),))
    first, beyond = names_below(name)
    values = {"project_id": project_id, "above": names_above(name), "first": first, "beyond": beyond}
    found = await (await connection.execute(STRANGERS, values)).fetchone()
    if found and found["strangers"]:
        raise UniquenessError.of("name", "another project has a zone that this is a part of, or a part of this")


async def find(connection: Connection, project_id: int, asked: str, mode: Mode | None = None) -> Zone:
    """By its id or its name. IncorrectZoneMode: it is not of the ``mode`` that is wanted."""
    zone = await KIND.get(connection, project_id, await find_id(connection, project_id, asked))
    if mode and zone.mode != mode:
        raise IncorrectZoneMode(f"this operation is for {mode} zones: {zone.name} is a {zone.mode} zone")
    return zone


async def find_id(connection: Connection, project_id: int, asked: str) -> int:
    """Of the zone that ``asked`` means; all digits are an id. NotFound: the project has none of that name."""
    if (id := as_id(asked)) is not None:
        return id
    if zone_name_problem(asked) is None:
        query = "SELECT id FROM zones WHERE name = %s AND project_id = %s"
        if row := await (await connection.execute(query, (asked, project_id))).fetchone():
            return int(row["id"])
    raise NotFound(f"zone {asked!r} not found")


async def locked(connection: Connection, project_id: int, asked: str, mode: Mode | None = None) -> Zone:
    """As it is and stays until the transaction ends."""
    id = await find_id(connection, project_id, asked)
    await KIND.lock(connection, project_id, id)
    return await find(connection, project_id, str(id), mode)


async def change_ttl(connection: Connection, zone: Zone, ttl: int) -> None:
    await connection.execute("UPDATE zones SET ttl = %s WHERE id = %s", (ttl, zone.id))


async def change_primaries(connection: Connection, zone: Zone, primaries: tuple[PrimaryNameserver, ...]) -> None:
    await connection.execute(
        "UPDATE zones SET primary_nameservers = %s WHERE id = %s", (_primaries(primaries), zone.id)
    )


async def delete(connection: Connection, project_id: int, zone: Zone) -> None:
    """With its RRSets. Protected: it is, or one of them."""
    query = "SELECT id FROM rrsets WHERE zone_id = %s AND protected LIMIT 1"
    if await (await connection.execute(query, (zone.id,))).fetchone():
        raise Protected(PROTECTED)
    await KIND.delete(connection, project_id, zone.id)


async def settle(connection: Connection, zone: Zone, today: date | None = None) -> None:
    """After a change: the serial rises, the records are counted. QuotaExceeded: there are too many by now."""
    if soa := await (await connection.execute(SOA, (zone.id,))).fetchone():
        record = soa["records"][0]
        serial = next_serial(serial_of(record["value"]), today or datetime.now(UTC).date())
        record["value"] = with_serial(record["value"], serial)
        await connection.execute(NEW_SOA, (Jsonb([record]), zone.id))
    counted = await (await connection.execute(COUNT, (zone.id,))).fetchone()
    if counted and counted["record_count"] > MOST_RECORDS:
        limits = {"limits": [{"name": "zone_records_limit"}]}
        raise QuotaExceeded(f"a zone has at most {MOST_RECORDS} records", limits)


def _primaries(primaries: tuple[PrimaryNameserver, ...]) -> Jsonb:
    return Jsonb([asdict(one) for one in primaries])
