"""Orders: one transaction makes a server's row, its actions and its key; taking it back undoes all of that at once.

Who comes first wins: the story sets ``began`` when it first touches the books, and an order is withdrawn only while
``began`` is NULL. An accepted order whose story never began, and a delete whose story is not done, are found here by
the sweep.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db import (
    addresses,
    default_networks,
    firewall_targets,
    idempotency,
    network_members,
    placement_groups,
    primary_ips,
)
from infra.db.idempotency import Answer, IdempotencyKey
from infra.db.pool import Connection
from infra.domain.errors import Conflict, InvalidInput, NotFound, UniquenessError
from infra.domain.models import DeleteOrder, Image, Resources, ServerOrder
from infra.domain.refusals import Protected
from infra.temporal.names import delete_id, provision_id


@dataclass(frozen=True, slots=True)
class NewServer:
    """An order that has passed every check at the edge. ``default_network``: it joins that, and names no other."""

    project_id: int
    user_id: int
    name: str
    server_type_id: int
    location_id: int
    image_id: int
    authorized_keys: tuple[str, ...] = ()
    user_data: str = ""
    labels: dict[str, str] | None = None
    want_ipv4: bool = True
    want_ipv6: bool = True
    start: bool = True
    primary_ipv4: int | None = None
    primary_ipv6: int | None = None
    networks: tuple[int, ...] = ()
    default_network: bool = False
    network_zone: str = ""
    firewalls: tuple[int, ...] = ()
    placement_group: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """``answer`` is there when an earlier request with the same key was already answered."""

    server_id: int
    action_id: int
    answer: Answer | None = None


class Withdrawal(Enum):
    DONE = "done"
    BEGAN = "began"
    GONE = "gone"


TRIES = 3  # of one request, against others with its key


class _Repeated(Exception):
    """Rolls the transaction back: another request has the key."""


async def accept(connection: Connection, new: NewServer, key: IdempotencyKey | None = None) -> Accepted:
    """Make the order, or find the one that the key stands for. UniquenessError: the name is taken."""
    while True:
        try:
            return await _accept(connection, new, key)
        except default_networks.Full as full:
            await default_networks.make_room(connection, new.project_id, new.network_zone, full)


async def _accept(connection: Connection, new: NewServer, key: IdempotencyKey | None) -> Accepted:
    for _ in range(TRIES):
        if key and (earlier := await idempotency.reserved(connection, key)):
            return Accepted(earlier.server_id, earlier.action_id, earlier.answer)
        try:
            async with connection.transaction():
                return await _make(connection, new, key)
        except (_Repeated, UniquenessError):
            # Two at once: the loser waited for the winner, at the key or already at the name. By now the winner's
            # order is found by its key, or it was refused and everything is free again.
            if key is None:
                raise
    raise UniquenessError.of("name")


async def _make(connection: Connection, new: NewServer, key: IdempotencyKey | None) -> Accepted:
    default = None
    if new.default_network:
        default = await default_networks.ensure(connection, new.project_id, new.network_zone)
    if new.placement_group:
        await placement_groups.keep_place(connection, new.project_id, new.placement_group)
    row = await (await connection.execute(INSERT_SERVER, _values(new))).fetchone()
    if row is None:
        raise UniquenessError.of("name")
    server_id = int(row["id"])
    if new.primary_ipv4:
        with _chosen("public_net.ipv4"):
            await primary_ips.give(connection, new.project_id, new.primary_ipv4, "ipv4", server_id, new.location_id)
    if new.primary_ipv6:
        with _chosen("public_net.ipv6"):
            await primary_ips.give(connection, new.project_id, new.primary_ipv6, "ipv6", server_id, new.location_id)
    await firewall_targets.put_on(connection, new.project_id, server_id, new.firewalls)
    action_id = await _action(connection, new.project_id, server_id, "create_server")
    if new.start:
        await _action(connection, new.project_id, server_id, "start_server")
    await connection.execute("UPDATE servers SET locked_by = %s WHERE id = %s", (action_id, server_id))
    if key and not await idempotency.reserve(connection, key, server_id, action_id):
        raise _Repeated
    await _join(connection, new, server_id, default)  # last: whoever else joins one waits for this order to be made
    return Accepted(server_id, action_id)


async def _join(connection: Connection, new: NewServer, server_id: int, default: int | None) -> None:
    holder = network_members.Holder(new.network_zone, server_id=server_id)
    if default is not None:
        try:
            await default_networks.join(connection, new.project_id, default, holder)
        except NotFound as gone:
            raise Conflict("the project's default network was deleted at this moment: try again") from gone
    for network_id in new.networks:
        with _chosen("networks"):
            await network_members.join(connection, new.project_id, network_id, holder)


@contextmanager
def _chosen(field: str) -> Iterator[None]:
    """What was there when the order was checked, and is gone when it is written, is named by its field."""
    try:
        yield
    except NotFound as gone:
        raise InvalidInput.field(field, gone.message) from gone


INSERT_SERVER = """
INSERT INTO servers (project_id, user_id, name, server_type_id, location_id, image_id, want_ipv4, want_ipv6, desired,
                     user_data, authorized_keys, labels, placement_group_id)
VALUES (%(project_id)s, %(user_id)s, %(name)s, %(server_type_id)s, %(location_id)s, %(image_id)s, %(want_ipv4)s,
        %(want_ipv6)s, %(desired)s, %(user_data)s, %(authorized_keys)s, %(labels)s, %(placement_group)s)
ON CONFLICT (project_id, name) DO NOTHING RETURNING id"""


def _values(new: NewServer) -> dict[str, Any]:
    return {
        "project_id": new.project_id,
        "user_id": new.user_id,
        "name": new.name,
        "server_type_id": new.server_type_id,
        "location_id": new.location_id,
        "image_id": new.image_id,
        "want_ipv4": new.want_ipv4,
        "want_ipv6": new.want_ipv6,
        "desired": "on" if new.start else "off",
        "user_data": new.user_data,
        "authorized_keys": Jsonb(list(new.authorized_keys)),
        "labels": Jsonb(new.labels or {}),
        "placement_group": new.placement_group,
    }


async def _action(connection: Connection, project_id: int, server_id: int, command: str) -> int:
    workflow_id = (delete_id if command == "delete_server" else provision_id)(server_id)
    row = await (
        await connection.execute(
            "INSERT INTO actions (project_id, server_id, resources, command, workflow_id)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING id",
            (project_id, server_id, Jsonb([{"id": server_id, "type": "server"}]), command, workflow_id),
        )
    ).fetchone()
    assert row is not None, "INSERT ... RETURNING returns a row or raises"
    return int(row["id"])


async def withdraw(connection: Connection, server_id: int) -> Withdrawal:
    """Take an order back unless its story began. DONE: nothing of it is left; GONE: there was nothing any more."""
    async with connection.transaction():
        waits = "SELECT id FROM servers WHERE id = %s AND began IS NULL AND status = 'initializing' FOR UPDATE"
        if await (await connection.execute(waits, (server_id,))).fetchone() is None:
            still = await (await connection.execute("SELECT 1 FROM servers WHERE id = %s", (server_id,))).fetchone()
            return Withdrawal.BEGAN if still else Withdrawal.GONE
        await addresses.release(connection, server_id)
        await connection.execute("DELETE FROM servers WHERE id = %s", (server_id,))
        await connection.execute("DELETE FROM actions WHERE server_id = %s", (server_id,))
        await connection.execute("DELETE FROM idempotency_keys WHERE server_id = %s", (server_id,))
        return Withdrawal.DONE


ORDERS = """
SELECT s.id AS server_id, s.project_id, s.user_id, s.name, l.name AS location, s.want_ipv4, s.want_ipv6,
       s.desired = 'on' AS start, t.cores, t.memory_mib, t.disk_gib, i.id AS image_id, i.name AS image_name,
       i.digest, i.architecture, i.disk_gib AS image_disk_gib, i.has_agent, create_.id AS action_id,
       (SELECT a.id FROM actions a WHERE a.server_id = s.id AND a.command = 'start_server'
        AND a.workflow_id = create_.workflow_id) AS start_action_id
FROM servers s
JOIN locations l ON l.id = s.location_id
JOIN server_types t ON t.id = s.server_type_id
JOIN images i ON i.id = s.image_id
JOIN actions create_ ON create_.server_id = s.id AND create_.command = 'create_server'
"""


async def load_order(connection: Connection, server_id: int) -> ServerOrder | None:
    """The order that a server was made from; None when the server is gone."""
    row = await (await connection.execute(ORDERS + "WHERE s.id = %s", (server_id,))).fetchone()
    return _order(row) if row else None


async def waiting_orders(connection: Connection, location: str, older_than: float) -> list[ServerOrder]:
    """Accepted more than ``older_than`` seconds ago, and no story has touched them."""
    found = await connection.execute(
        ORDERS + "WHERE s.began IS NULL AND s.status = 'initializing' AND l.name = %s"
        " AND s.created < now() - make_interval(secs => %s) ORDER BY s.id",
        (location, older_than),
    )
    return [_order(row) for row in await found.fetchall()]


async def order_delete(connection: Connection, project_id: int, server_id: int, by_owner: bool = False) -> DeleteOrder:
    """Mark the server as deleting and take its lock over; repeated, it is the same order. NotFound: no such server.

    Protected: its owner must lift the protection first; operators, and what heals the books, need not.
    """
    async with connection.transaction():
        row = await (
            await connection.execute(
                "UPDATE servers SET status = 'deleting', desired = 'off'"
                " WHERE id = %s AND project_id = %s AND status <> 'deleting' AND NOT (protected AND %s)"
                " RETURNING id",
                (server_id, project_id, by_owner),
            )
        ).fetchone()
        if row:
            action_id = await _action(connection, project_id, server_id, "delete_server")
            await connection.execute("UPDATE servers SET locked_by = %s WHERE id = %s", (action_id, server_id))
    found = await connection.execute(
        DELETES + "WHERE s.id = %s AND s.project_id = %s ORDER BY a.id LIMIT 1", (server_id, project_id)
    )
    order = await found.fetchone()
    if order is None:
        if await (await connection.execute(THERE, (server_id, project_id))).fetchone():
            raise Protected("server deletion is protected")
        raise NotFound.of("server", server_id)
    return DeleteOrder(**order)


THERE = "SELECT id FROM servers WHERE id = %s AND project_id = %s AND status <> 'deleting'"


DELETES = """
SELECT s.id AS server_id, a.id AS action_id, s.project_id, l.name AS location
FROM servers s
JOIN locations l ON l.id = s.location_id
JOIN actions a ON a.server_id = s.id AND a.command = 'delete_server' AND a.status = 'running'
"""


async def waiting_deletes(connection: Connection, location: str, older_than: float) -> list[DeleteOrder]:
    """Ordered more than ``older_than`` seconds ago and not done: under way, or never begun."""
    found = await connection.execute(
        DELETES + "WHERE l.name = %s AND a.started < now() - make_interval(secs => %s) ORDER BY s.id",
        (location, older_than),
    )
    return [DeleteOrder(**row) for row in await found.fetchall()]


def _order(row: DictRow) -> ServerOrder:
    image = Image(
        row["image_id"],
        row["image_name"] or "",
        row["digest"],
        row["architecture"],
        row["image_disk_gib"],
        row["has_agent"],
    )
    same = ("server_id", "action_id", "start_action_id", "project_id", "user_id", "name", "location")
    wants = ("want_ipv4", "want_ipv6", "start")
    return ServerOrder(
        **{key: row[key] for key in (*same, *wants)},
        resources=Resources(row["cores"], row["memory_mib"], row["disk_gib"]),
        image=image,
    )
