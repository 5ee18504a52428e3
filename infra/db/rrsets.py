"""RRSets in the books. All of it under the lock of their zone's row (infra/db/zones.py), which the caller holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.db.selectors import conditions
from infra.db.zones import PROTECTED, Zone
from infra.dns.values import canonical, stored
from infra.domain.errors import InvalidInput, NotFound, UniquenessError
from infra.domain.labels import Selector
from infra.domain.refusals import Protected
from infra.domain.rrsets import (
    APEX,
    TYPES,
    NewRRSet,
    Record,
    RRSetType,
    Same,
    added,
    check_removable,
    commented,
    count_problem,
    name_problem,
    neighbour_problem,
    removed,
)
from infra.domain.zones import serial_of, with_serial

SELECT = sql.SQL("""
SELECT r.id, r.zone_id, r.name, r.type, r.ttl, r.records, r.protected, r.labels, r.created
FROM rrsets r""")
COLUMNS = {name: sql.SQL("r.") + sql.Identifier(name) for name in ("id", "name", "type", "created")}
INSERT = "INSERT INTO rrsets (zone_id, name, type, ttl, records, labels) VALUES (%s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class RRSet:
    """``id``: ours. ``ttl`` None: the zone's."""

    id: int
    zone_id: int
    name: str
    type: RRSetType
    ttl: int | None
    records: tuple[Record, ...]
    protected: bool
    labels: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class RRSetFilter:
    zone_id: int
    name: str | None = None
    types: Sequence[str] = ()
    labels: Selector = ()


def _rrset(row: DictRow) -> RRSet:
    return RRSet(**{**row, "records": tuple(Record(**one) for one in row["records"])})


async def get(connection: Connection, zone: Zone, name: str, type: str) -> RRSet:
    possible = type in TYPES and name_problem(name, zone.name) is None
    if possible and (found := await _find(connection, zone, name, type)):
        return found
    raise NotFound(f"RRSet '{name}/{type}' not found")


async def _find(connection: Connection, zone: Zone, name: str, type: str) -> RRSet | None:
    query = SELECT + sql.SQL(" WHERE r.zone_id = %s AND r.name = %s AND r.type = %s")
    row = await (await connection.execute(query, (zone.id, name, type))).fetchone()
    return _rrset(row) if row else None


async def find_all(connection: Connection, wanted: RRSetFilter, window: Window) -> Found[RRSet]:
    """By the wire's id, ``name/type``, unless asked otherwise."""
    tests: list[sql.Composable] = [sql.SQL("r.zone_id = %(zone)s")]
    if wanted.name is not None:
        tests.append(sql.SQL("r.name = %(name)s"))
    if wanted.types:
        tests.append(sql.SQL("r.type = ANY(%(types)s)"))
    tests += conditions(wanted.labels, sql.SQL("r.labels"))
    params = {"zone": wanted.zone_id, "name": wanted.name, "types": list(wanted.types)}
    return await find(connection, SELECT, sql.SQL("rrsets r"), tests, _by_wire_id(window), COLUMNS, _rrset, params)


def _by_wire_id(window: Window) -> Window:
    sort: list[tuple[str, bool]] = []
    for field, down in window.sort or (("id", False),):
        sort += [("name", down), ("type", down)] if field in ("id", "name") else [(field, down)]
    return Window(window.page, window.per_page, tuple(sort))


async def all_of(connection: Connection, zone: Zone) -> list[NewRRSet]:
    """As a zone file has them: SOA first, the apex before the rest."""
    order = sql.SQL(" WHERE r.zone_id = %s ORDER BY r.name <> '@', r.type <> 'SOA', r.type <> 'NS', r.name, r.type")
    found = [_rrset(row) for row in await (await connection.execute(SELECT + order, (zone.id,))).fetchall()]
    return [NewRRSet(one.name, one.type, one.records, one.ttl, one.labels) for one in found]


async def create(connection: Connection, zone: Zone, new: NewRRSet) -> None:
    """UniquenessError: there is one; InvalidInput: it cannot stand beside what the name has."""
    query = "SELECT type FROM rrsets WHERE zone_id = %s AND name = %s"
    types = [row["type"] for row in await (await connection.execute(query, (zone.id, new.name))).fetchall()]
    if new.type in types:
        raise UniquenessError.of("name", f"the zone has an RRSet {new.name}/{new.type} already")
    if problem := neighbour_problem(new.type, types):
        raise InvalidInput.field("type", problem)
    await _insert(connection, zone, [new])


async def fill(connection: Connection, zone: Zone, rrsets: Sequence[NewRRSet]) -> None:
    """All RRSets of a zone in place of what it had. Protected: one of these must not change."""
    query = "SELECT id FROM rrsets WHERE zone_id = %s AND protected LIMIT 1"
    if await (await connection.execute(query, (zone.id,))).fetchone():
        raise Protected(PROTECTED)
    soa = await _find(connection, zone, APEX, "SOA")
    await connection.execute("DELETE FROM rrsets WHERE zone_id = %s", (zone.id,))
    await _insert(connection, zone, rrsets)
    if soa:
        await _go_on(connection, zone, soa)


async def _go_on(connection: Connection, zone: Zone, before: RRSet) -> None:
    """The serial of a new SOA record never falls behind that of the one before."""
    now = await get(connection, zone, APEX, "SOA")
    least = max(serial_of(now.records[0].value), serial_of(before.records[0].value))
    await _write(connection, now, (Record(with_serial(now.records[0].value, least), now.records[0].comment),))


async def _insert(connection: Connection, zone: Zone, rrsets: Sequence[NewRRSet]) -> None:
    rows = [
        (zone.id, one.name, one.type, one.ttl, _json(stored(zone.name, one.type, one.records)), Jsonb(one.labels))
        for one in rrsets
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(INSERT, rows)


async def update(connection: Connection, zone: Zone, name: str, type: str, labels: dict[str, str] | None) -> RRSet:
    """None keeps them. Labels are no part of what the zone answers: a protected RRSet may have others."""
    await connection.execute(
        "UPDATE rrsets SET labels = coalesce(%s, labels) WHERE zone_id = %s AND name = %s AND type = %s",
        (Jsonb(labels) if labels is not None else None, zone.id, name, type),
    )
    return await get(connection, zone, name, type)


async def delete(connection: Connection, zone: Zone, name: str, type: str) -> None:
    """Protected; ServiceError: a zone is never without it."""
    await _delete(connection, await _changeable(connection, zone, name, type))


async def protect(connection: Connection, zone: Zone, name: str, type: str, protected: bool | None) -> None:
    """None keeps it as it is."""
    rrset = await get(connection, zone, name, type)
    change = "UPDATE rrsets SET protected = coalesce(%s, protected) WHERE id = %s"
    await connection.execute(change, (protected, rrset.id))


async def change_ttl(connection: Connection, zone: Zone, name: str, type: str, ttl: int | None) -> None:
    rrset = await _changeable(connection, zone, name, type)
    await connection.execute("UPDATE rrsets SET ttl = %s WHERE id = %s", (ttl, rrset.id))


async def set_records(connection: Connection, zone: Zone, rrset: RRSet, records: Sequence[Record]) -> None:
    _refuse_protected(rrset)
    await _write(connection, rrset, stored(zone.name, rrset.type, records))
    if rrset.type == "SOA":
        await _go_on(connection, zone, rrset)


async def add_records(connection: Connection, zone: Zone, more: NewRRSet) -> None:
    """Makes the RRSet when there is none. InvalidInput: a record is there, there are too many, or the TTL is other."""
    rrset = await _find(connection, zone, more.name, more.type)
    if rrset is None:
        return await create(connection, zone, more)
    _refuse_protected(rrset)
    if more.ttl is not None and more.ttl != rrset.ttl:
        raise InvalidInput.field("ttl", f"the RRSet's is {rrset.ttl or 'that of the zone'}: change_ttl changes it")
    records = added(rrset.records, more.records, _same(zone, rrset))
    if problem := count_problem(more.type, len(records)):
        raise InvalidInput.field("records", problem)
    return await _write(connection, rrset, records)


async def remove_records(connection: Connection, zone: Zone, rrset: RRSet, fewer: Sequence[Record]) -> None:
    """The last one takes the RRSet with it. InvalidInput: one is not there."""
    _refuse_protected(rrset)
    if left := removed(rrset.records, fewer, _same(zone, rrset)):
        await _write(connection, rrset, left)
    else:
        await _delete(connection, rrset)


async def comment_records(connection: Connection, zone: Zone, rrset: RRSet, comments: Sequence[Record]) -> None:
    """InvalidInput: one is not there."""
    _refuse_protected(rrset)
    await _write(connection, rrset, commented(rrset.records, comments, _same(zone, rrset)))


async def _delete(connection: Connection, rrset: RRSet) -> None:
    check_removable(rrset.name, rrset.type)
    await connection.execute("DELETE FROM rrsets WHERE id = %s", (rrset.id,))


async def _changeable(connection: Connection, zone: Zone, name: str, type: str) -> RRSet:
    rrset = await get(connection, zone, name, type)
    _refuse_protected(rrset)
    return rrset


def _refuse_protected(rrset: RRSet) -> None:
    if rrset.protected:
        raise Protected(PROTECTED)


async def _write(connection: Connection, rrset: RRSet, records: Sequence[Record]) -> None:
    await connection.execute("UPDATE rrsets SET records = %s WHERE id = %s", (_json(records), rrset.id))


def _same(zone: Zone, rrset: RRSet) -> Same:
    return partial(canonical, zone.name, rrset.type)


def _json(records: Sequence[Record]) -> Jsonb:
    return Jsonb([asdict(one) for one in records])
