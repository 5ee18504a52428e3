"""Placement groups of a project, and which servers are in them.

A server comes into a group under the lock on the group's row, so that neither does the group go meanwhile nor do more
come than fit. That lock is taken before any on a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.db.terms import moment_of
from infra.domain.errors import InvalidInput, NotFound
from infra.domain.refusals import AlreadyInPlacementGroup, PlacementError, ResourceInUse, ServerNotStopped

MOST_SERVERS = 10
"""In a spread group, as on the wire."""

SELECT = sql.SQL("""
SELECT r.id, r.name, r.type, r.labels, r.created,
       ARRAY(SELECT s.id FROM servers s WHERE s.placement_group_id = r.id ORDER BY s.id) AS servers
FROM placement_groups r""")


@dataclass(frozen=True, slots=True)
class PlacementGroup:
    id: int
    name: str
    type: str
    labels: dict[str, str]
    created: datetime
    servers: list[int]


def group_of(row: Mapping[str, Any]) -> PlacementGroup:
    """From a row, or from a row as JSON, where times are text."""
    return PlacementGroup(row["id"], row["name"], row["type"], row["labels"], moment_of(row["created"]), row["servers"])


KIND = Kind("placement_groups", "placement group", SELECT, group_of, protectable=False)


async def create(
    connection: Connection, project_id: int, name: str, type: str, labels: dict[str, str]
) -> PlacementGroup:
    values = {"project_id": project_id, "name": name, "type": type, "labels": Jsonb(labels)}
    return await KIND.get(connection, project_id, await KIND.insert(connection, values))


async def delete(connection: Connection, project_id: int, id: int) -> None:
    """ResourceInUse: servers are in it."""
    try:
        await KIND.delete(connection, project_id, id)
    except errors.ForeignKeyViolation as cause:
        raise ResourceInUse("the placement group has servers: delete them or take them out first") from cause


async def keep_place(connection: Connection, project_id: int, id: int) -> None:
    """Until the transaction ends the group stays, and a server more fits. InvalidInput: no such group. PlacementError:
    it is full."""
    await _lock(connection, project_id, id)
    await _require_place(connection, id)


async def add_server(connection: Connection, project_id: int, server_id: int, id: int) -> None:
    """One that is off and in no group. NotFound: no such server. InvalidInput, PlacementError: as above, and its host
    may hold no other of the group."""
    await _server(connection, project_id, server_id)
    await _lock(connection, project_id, id)
    server = await _server(connection, project_id, server_id, " FOR UPDATE")
    if server["placement_group_id"] is not None:
        raise AlreadyInPlacementGroup("server is in a placement group already")
    if server["status"] != "off":
        raise ServerNotStopped(f"server must be off: it is {server['status']}")
    await _require_place(connection, id)
    await _put(connection, server_id, id)


async def remove_server(connection: Connection, project_id: int, server_id: int) -> int | None:
    """The group that it was in; None, and nothing is done: in none. NotFound: no such server."""
    server = await _server(connection, project_id, server_id, " FOR UPDATE")
    await _put(connection, server_id, None)
    group: int | None = server["placement_group_id"]
    return group


async def _put(connection: Connection, server_id: int, id: int | None) -> None:
    """PlacementError: its host holds another server of the group, and servers do not move."""
    await connection.execute("UPDATE servers SET placement_group_id = %s WHERE id = %s", (id, server_id))
    try:
        await connection.execute("UPDATE claims SET placement_group_id = %s WHERE server_id = %s", (id, server_id))
    except errors.UniqueViolation as cause:
        raise PlacementError("another server of the placement group is on the same host") from cause


async def _lock(connection: Connection, project_id: int, id: int) -> None:
    try:
        await KIND.lock(connection, project_id, id)
    except NotFound:
        raise InvalidInput.field("placement_group", f"placement group {id} does not exist") from None


async def _require_place(connection: Connection, id: int) -> None:
    found = await connection.execute("SELECT FROM servers WHERE placement_group_id = %s", (id,))
    if found.rowcount >= MOST_SERVERS:
        raise PlacementError(f"the placement group has {MOST_SERVERS} servers, which is the most that it may have")


async def _server(connection: Connection, project_id: int, server_id: int, lock: str = "") -> Mapping[str, Any]:
    query = f"SELECT status, placement_group_id FROM servers WHERE id = %s AND project_id = %s{lock}"
    row = await (await connection.execute(query.encode(), (server_id, project_id))).fetchone()
    if row is None:
        raise NotFound.of("server", server_id)
    return row
