"""Servers that load balancers may send to, and the edges that a change is about."""

from __future__ import annotations

from infra.db.edges import SILENT
from infra.db.pool import Connection
from infra.domain.changes import Change

REGISTER = """
INSERT INTO serving SELECT id FROM servers WHERE id = %s AND status <> 'deleting' ON CONFLICT DO NOTHING
"""
DEREGISTER = "DELETE FROM serving WHERE server_id = %s"

# Those that live: others read their plans when they are back.
OF_PROJECT = """
SELECT DISTINCT b.edge_id FROM load_balancers b JOIN edges e ON e.id = b.edge_id
WHERE b.project_id = %s AND e.reported > now() - %s ORDER BY b.edge_id
"""

# Of a load balancer that is gone nobody knows any more who served it.
ALL = "SELECT id AS edge_id FROM edges WHERE reported > now() - %s ORDER BY id"

TARGETING = frozenset(
    {
        *("attach_to_network", "detach_from_network", "delete_network"),
        *("assign_primary_ip", "unassign_primary_ip"),
    }
)
"""Commands of other resources that change whom a load balancer reaches, and how."""


async def register(connection: Connection, server_id: int) -> None:
    """Again is fine, and so is a server that is gone."""
    await connection.execute(REGISTER, (server_id,))


async def deregister(connection: Connection, server_id: int) -> None:
    await connection.execute(DEREGISTER, (server_id,))


async def edges_of_project(connection: Connection, project_id: int) -> list[int]:
    """The live edges that serve any of its load balancers: one that has nothing to change finds that out at once."""
    found = await connection.execute(OF_PROJECT, (project_id, SILENT))
    return [row["edge_id"] for row in await found.fetchall()]


async def edges_of(connection: Connection, change: Change) -> tuple[int, ...]:
    """The edges that a change is about."""
    if change.command == "delete_load_balancer":
        found = await connection.execute(ALL, (SILENT,))
        return tuple(row["edge_id"] for row in await found.fetchall())
    if change.resource.type == "load_balancer" or change.command in TARGETING:
        return tuple(await edges_of_project(connection, change.project_id))
    return ()
