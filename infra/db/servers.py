"""Servers as their owners see them: one query for all that the wire shows, and the changes that need no story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, get_args

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.firewall_targets import Selecting, of_server, selecting
from infra.db.images import CatalogueImage, image_of
from infra.db.listing import Found, Window, find
from infra.db.locations import Location, location_of
from infra.db.named import name_taken
from infra.db.network_members import Member, member_of
from infra.db.placement_groups import PlacementGroup, group_of
from infra.db.pool import Connection
from infra.db.selectors import conditions
from infra.db.server_types import ServerType, server_type_of
from infra.domain.errors import Locked, NotFound
from infra.domain.labels import Selector

ServerStatus = Literal[
    "initializing", "starting", "running", "off", "stopping", "deleting", "rebuilding", "migrating", "unknown"
]
STATUSES: tuple[str, ...] = get_args(ServerStatus)
"""Of the wire; no server is rebuilding or migrating yet."""
SORTABLE = {column: sql.SQL("s.") + sql.Identifier(column) for column in ("id", "name", "created")}

SELECT = sql.SQL("""
SELECT s.id, s.name, s.status, s.created, s.locked_by IS NOT NULL AS locked, s.labels, s.host_key, s.protected,
       to_jsonb(t) AS server_type, to_jsonb(l) AS location, to_jsonb(i) AS image,
       (SELECT coalesce(jsonb_object_agg(a.type, jsonb_build_object('id', p.id, 'address', a.address,
                'dns_ptr', p.dns_ptr)), '{}')
        FROM addresses a JOIN primary_ips p ON p.id = a.primary_ip_id WHERE a.server_id = s.id) AS addresses,
       (SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.id), '[]') FROM members m WHERE m.server_id = s.id) AS nets,
       ARRAY(SELECT f.firewall_id FROM firewall_targets f WHERE f.server_id = s.id ORDER BY f.id) AS firewalls,
       ARRAY(SELECT e.firewall_id FROM enforced_firewalls e WHERE e.server_id = s.id AND e.epoch = s.epoch) AS enforced,
       s.want_ipv4 OR s.want_ipv6 AS is_public,
       (SELECT to_jsonb(g) || jsonb_build_object('servers', ARRAY(
                SELECT other.id FROM servers other WHERE other.placement_group_id = g.id ORDER BY other.id))
        FROM placement_groups g WHERE g.id = s.placement_group_id) AS placement_group
FROM servers s
JOIN server_types t ON t.id = s.server_type_id
JOIN locations l ON l.id = s.location_id
JOIN images i ON i.id = s.image_id""")


@dataclass(frozen=True, slots=True)
class HeldAddress:
    """Of the primary IP ``id``: an IPv4 address, or an IPv6 network (/64), and the names that were set in it."""

    id: int
    address: str
    dns_ptr: dict[str, str]


@dataclass(frozen=True, slots=True)
class Server:
    """``firewalls``: those in effect; ``enforced``: those that guard it by now."""

    id: int
    name: str
    status: ServerStatus
    created: datetime
    locked: bool
    labels: dict[str, str]
    host_key: str | None
    protected: bool
    server_type: ServerType
    location: Location
    image: CatalogueImage
    ipv4: HeldAddress | None
    ipv6: HeldAddress | None
    private_net: Sequence[Member] = ()
    firewalls: Sequence[int] = ()
    enforced: frozenset[int] = frozenset()
    placement_group: PlacementGroup | None = None


@dataclass(frozen=True, slots=True)
class ServerFilter:
    project_id: int
    name: str | None = None
    statuses: tuple[str, ...] = ()
    labels: Selector = ()


async def get(connection: Connection, project_id: int, server_id: int) -> Server:
    query = sql.SQL("{} WHERE s.id = %s AND s.project_id = %s").format(SELECT)
    row = await (await connection.execute(query, (server_id, project_id))).fetchone()
    if row is None:
        raise NotFound.of("server", server_id)
    return _server(row, await selecting(connection, project_id))


async def find_all(connection: Connection, wanted: ServerFilter, window: Window) -> Found[Server]:
    tests: list[sql.Composable] = [sql.SQL("s.project_id = %(project)s")]
    if wanted.name is not None:
        tests.append(sql.SQL("s.name = %(name)s"))
    if wanted.statuses:
        tests.append(sql.SQL("s.status = ANY(%(statuses)s)"))
    tests += conditions(wanted.labels, sql.SQL("s.labels"))
    params = {"project": wanted.project_id, "name": wanted.name, "statuses": list(wanted.statuses)}
    build = partial(_server, firewalls=await selecting(connection, wanted.project_id))
    return await find(connection, SELECT, sql.SQL("servers s"), tests, window, SORTABLE, build, params)


async def update(
    connection: Connection, project_id: int, server_id: int, name: str | None, labels: dict[str, str] | None
) -> Server:
    """None keeps what is there. Labels change at any time, a name only while nothing works on it: Locked."""
    new_labels = Jsonb(labels) if labels is not None else None
    async with name_taken():
        done = await connection.execute(
            "UPDATE servers SET name = coalesce(%(name)s, name), labels = coalesce(%(labels)s, labels)"
            " WHERE id = %(id)s AND project_id = %(project)s"
            " AND (locked_by IS NULL OR coalesce(%(name)s, name) = name)",
            {"name": name, "labels": new_labels, "id": server_id, "project": project_id},
        )
    server = await get(connection, project_id, server_id)
    if done.rowcount == 0:
        raise Locked("server is locked: another action works on it, and its name is part of that")
    return server


async def protect(connection: Connection, project_id: int, server_id: int, protected: bool | None) -> None:
    """None keeps it as it is."""
    done = await connection.execute(
        "UPDATE servers SET protected = coalesce(%s, protected) WHERE id = %s AND project_id = %s",
        (protected, server_id, project_id),
    )
    if done.rowcount == 0:
        raise NotFound.of("server", server_id)


def _server(row: DictRow, firewalls: Selecting) -> Server:
    own = {key: row[key] for key in ("id", "name", "status", "created", "locked", "labels", "host_key", "protected")}
    return Server(
        **own,
        server_type=server_type_of(row["server_type"]),
        location=location_of(row["location"]),
        image=image_of(row["image"]),
        ipv4=_address(row["addresses"], "ipv4"),
        ipv6=_address(row["addresses"], "ipv6"),
        private_net=[member_of(one) for one in row["nets"]],
        firewalls=of_server(row, firewalls),
        enforced=frozenset(row["enforced"]),
        placement_group=group_of(row["placement_group"]) if row["placement_group"] else None,
    )


def _address(addresses: Mapping[str, Any], kind: str) -> HeldAddress | None:
    return HeldAddress(**addresses[kind]) if kind in addresses else None
