"""Served names in the books: what a zone shall answer by now, the whole of it or some of its names.

What stands in the books is what its owner wrote; what servers and addresses are called is derived, here from rows, in
infra/domain/served_names.py by rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.catalog_settings import catalog_settings
from infra.db.pool import Connection
from infra.db.pools import pools
from infra.dns.contents import content
from infra.domain.reverse_zones import network_of
from infra.domain.rrsets import APEX
from infra.domain.served_names import (
    Answer,
    HeldName,
    Key,
    NamedServer,
    answers_for,
    first_of,
    reverse_answers,
    zone_of,
)
from infra.domain.zones import (
    DEFAULT_TTL,
    Mode,
    PrimaryNameserver,
    absolute,
    first_soa,
    next_serial,
    serial_of,
    with_serial,
)

LOCK = "SELECT pg_advisory_xact_lock(hashtext('served zone'), hashtext(%s))"
# At once, so that the records are those of this zone, whoever deletes it or makes another meanwhile.
ZONE = """
SELECT z.id, z.project_id, z.mode, z.primary_nameservers, r.name, r.type, coalesce(r.ttl, z.ttl) AS ttl, r.records
FROM zones z LEFT JOIN rrsets r
    ON r.zone_id = z.id AND (%(names)s::text[] IS NULL OR r.name = ANY(%(names)s) OR r.type = 'SOA')
WHERE z.name = %(zone)s
"""
SERVERS = """
SELECT s.name, array_agg(a.address) AS addresses
FROM servers s JOIN published_names n ON n.server_id = s.id JOIN addresses a ON a.server_id = s.id
WHERE s.project_id = %(project_id)s AND (lower(s.name) = %(zone)s OR lower(s.name) LIKE '%%.' || %(zone)s)
  AND (%(names)s::text[] IS NULL OR lower(s.name) = ANY(%(names)s))
GROUP BY s.id
"""
ZONES = "SELECT project_id, name, mode FROM zones WHERE project_id = ANY(%s)"
HELD = """
SELECT a.address, coalesce(p.dns_ptr, b.dns_ptr, '{}') AS named, s.project_id, s.name AS server,
       a.server_id IS NOT NULL AND n.server_id IS NULL AS withheld
FROM addresses a LEFT JOIN primary_ips p ON p.id = a.primary_ip_id
LEFT JOIN load_balancers b ON b.id = a.load_balancer_id
LEFT JOIN servers s ON s.id = a.server_id LEFT JOIN published_names n ON n.server_id = s.id
WHERE a.held AND """
IN_NETWORK = "a.address::inet <<= %(network)s::inet"
AMONG = "a.address = ANY(%(addresses)s)"
SETTLE = """
UPDATE rrsets SET records = %(records)s
WHERE zone_id = %(zone_id)s AND name = '@' AND type = 'SOA' AND records = %(before)s
"""


@dataclass(frozen=True, slots=True)
class WantedZone:
    """``answers``: of the names that were asked for, the SOA record left out. ``primaries``: of a secondary zone, which
    answers what it gets from there. ``zone_id`` None: a reverse zone, whose serial nobody keeps."""

    name: str
    answers: Mapping[Key, Answer] = field(default_factory=dict)
    soa: str = ""
    soa_ttl: int = DEFAULT_TTL
    zone_id: int | None = None
    primaries: tuple[PrimaryNameserver, ...] = ()
    written_soa: list[dict[str, Any]] | None = None

    @property
    def serial(self) -> int:
        return serial_of(self.soa)

    def soa_with(self, serial: int) -> Answer:
        return Answer(self.soa_ttl, frozenset({with_serial(self.soa, serial)}))


async def lock(connection: Connection, zone: str) -> None:
    """Until the transaction ends nobody else brings that zone to its name servers: who applies last has read last."""
    await connection.execute(LOCK, (zone,))


async def wanted(connection: Connection, zone: str, names: Collection[str] | None) -> WantedZone | None:
    """``names``: absolute, in lower case; None: all. None is returned for a zone that shall not be served."""
    networks = await pools(connection)
    if network := network_of(zone, networks):
        return await _reverse(connection, zone, str(network), names)
    relative = None if names is None else [_relative(one, zone) for one in names]
    rows = await (await connection.execute(ZONE, {"zone": zone, "names": relative})).fetchall()
    if not rows:
        return None
    first = rows[0]
    if first["mode"] == "secondary":
        primaries = tuple(PrimaryNameserver(**one) for one in first["primary_nameservers"])
        return WantedZone(zone, zone_id=first["id"], primaries=primaries)
    return await _primary(connection, zone, rows, names)


async def _primary(connection: Connection, zone: str, rows: list[DictRow], names: Collection[str] | None) -> WantedZone:
    soa = next(row for row in rows if row["type"] == "SOA")
    written = await asyncio.to_thread(_written, zone, [row for row in rows if row is not soa])
    servers = await _servers(connection, soa["project_id"], zone, names)
    return WantedZone(
        zone,
        {**answers_for(servers, written.keys()), **written},
        content(zone, "SOA", soa["records"][0]["value"]),
        soa["ttl"],
        soa["id"],
        written_soa=soa["records"],
    )


def _written(zone: str, rows: list[DictRow]) -> dict[Key, Answer]:
    """In a thread: thousands of records take a second."""
    return {
        (_absolute(row["name"], zone), row["type"]): Answer(
            row["ttl"], frozenset(content(zone, row["type"], one["value"]) for one in row["records"])
        )
        for row in rows
    }


async def _servers(
    connection: Connection, project_id: int, zone: str, names: Collection[str] | None
) -> list[NamedServer]:
    """Those whose names this zone serves, and no zone within it."""
    values = {"project_id": project_id, "zone": zone, "names": None if names is None else list(names)}
    rows = await (await connection.execute(SERVERS, values)).fetchall()
    if not rows:
        return []
    known = (await zones_of(connection, [project_id]))[project_id]
    here = [row for row in rows if zone_of(row["name"], known) == zone]
    return [NamedServer(row["name"], tuple(map(first_of, row["addresses"]))) for row in here]


async def zones_of(connection: Connection, projects: Collection[int]) -> dict[int, dict[str, Mode]]:
    """The zones of each of the projects, by name."""
    found: dict[int, dict[str, Mode]] = {project: {} for project in projects}
    for row in await (await connection.execute(ZONES, (list(projects),))).fetchall():
        found[row["project_id"]][row["name"]] = row["mode"]
    return found


async def _reverse(connection: Connection, zone: str, network: str, names: Collection[str] | None) -> WantedZone:
    settings = await catalog_settings(connection)
    addresses = None if names is None else [one for name in names for one in _addresses_of(name)]
    query = HELD + (IN_NETWORK if addresses is None else AMONG)
    rows = await (await connection.execute(query.encode(), {"network": network, "addresses": addresses})).fetchall()
    known = await zones_of(connection, {row["project_id"] for row in rows if row["server"]})
    held = [_held(row, known) for row in rows]
    name_servers = tuple(map(absolute, settings.name_servers))
    apex = {(zone, "NS"): Answer(DEFAULT_TTL, frozenset(name_servers))}
    answers = {**apex, **reverse_answers(held, settings.ptr_template)}
    if names is not None:
        answers = {key: answer for key, answer in answers.items() if key[0] in names}
    return WantedZone(zone, answers, first_soa(name_servers, next_serial(0, _today())))


def _held(row: DictRow, known: Mapping[int, Mapping[str, Mode]]) -> HeldName:
    served = row["server"] and zone_of(row["server"], known[row["project_id"]])
    return HeldName(row["address"], row["named"], row["server"] if served else None, row["withheld"])


def _addresses_of(name: str) -> list[str]:
    """Under which the books may have the address of that reverse name: its own, and its network (/64)."""
    labels = name.split(".")
    if name.endswith(".in-addr.arpa"):
        return [".".join(reversed(labels[:-2]))]
    digits = "".join(reversed(labels[:-2]))
    if len(digits) != 32:  # the zone itself
        return []
    from ipaddress import IPv6Address, IPv6Network

    address = IPv6Address(int(digits, 16))
    return [str(IPv6Network((address, 64), strict=False))]


async def settle(connection: Connection, zone: WantedZone, serial: int) -> None:
    """The books tell the serial that is served, unless they were changed meanwhile: then it is raised once more."""
    if zone.zone_id is None or zone.written_soa is None or serial == zone.serial:
        return
    before = zone.written_soa
    value = content(zone.name, "SOA", before[0]["value"])
    after = [{**before[0], "value": with_serial(value, serial)}]
    values = {"zone_id": zone.zone_id, "records": Jsonb(after), "before": Jsonb(before)}
    await connection.execute(SETTLE, values)


def _relative(name: str, zone: str) -> str:
    return APEX if name == zone else name.removesuffix(f".{zone}")


def _absolute(name: str, zone: str) -> str:
    return zone if name == APEX else f"{name}.{zone}"


def _today() -> date:
    return datetime.now(UTC).date()
