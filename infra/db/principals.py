"""Principals: users, who ask, and projects, which servers belong to. Both are made with a quota and never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from infra.db import changes
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import InvalidInput, NotFound
from infra.domain.names import title_problem


@dataclass(frozen=True, slots=True)
class Principal:
    """A user or a project. ``keys``: those that are good now. ``servers``: those that there are."""

    id: int
    name: str
    created: datetime
    keys: int
    servers: int


async def ensure_user(connection: Connection, name: str) -> int:
    """The user of that name, made together with its quota if there is none."""
    return await _ensure(connection, "users", "user", name)


async def ensure_project(connection: Connection, name: str) -> int:
    """The project of that name, made together with its quota if there is none."""
    return await _ensure(connection, "projects", "project", name)


@dataclass(frozen=True, slots=True)
class Manners:
    """What a project wants where its users do not say otherwise. None keeps what it is."""

    default_network: bool | None = None
    accepts: bool | None = None

    def __str__(self) -> str:
        network = "join its default network" if self.default_network else "are in no network"
        policy = "accepted" if self.accepts else "dropped"
        return f"servers {network} unless asked otherwise; what no firewall speaks of is {policy}"


async def set_manners(connection: Connection, project: str, manners: Manners) -> Manners:
    """Change what is given and return all of it. NotFound: no such project.

    With an inbound policy, also the same once more, comes a change that the servers' ports follow: the sweep begins it.
    """
    policy = {True: "accept", False: "drop", None: None}[manners.accepts]
    async with connection.transaction():
        found = await connection.execute(SET_MANNERS, (manners.default_network, policy, project))
        row = await found.fetchone()
        if row is None:
            raise NotFound(f"there is no project {project}")
        if policy:
            await _follow_policy(connection, row["id"])
    return Manners(row["default_network"], row["accepts"])


async def _follow_policy(connection: Connection, project_id: int) -> None:
    """Carried out where a server of the project is, for all of them; it has none: nothing is to be done."""
    row = await (await connection.execute(SOMEWHERE, (project_id,))).fetchone()
    if row:
        about = [Resource("project", project_id)]
        await changes.accept(connection, project_id, row["location"], "change_inbound_policy", about)


SET_MANNERS = """
UPDATE projects SET default_network = coalesce(%s, default_network), inbound_policy = coalesce(%s, inbound_policy)
WHERE name = %s RETURNING id, default_network, inbound_policy = 'accept' AS accepts
"""

SOMEWHERE = """
SELECT l.name AS location FROM servers s JOIN locations l ON l.id = s.location_id
WHERE s.project_id = %s ORDER BY s.id LIMIT 1
"""


async def list_users(connection: Connection) -> list[Principal]:
    return await _list(connection, "users", "user_id")


async def list_projects(connection: Connection) -> list[Principal]:
    return await _list(connection, "projects", "project_id")


async def _ensure(connection: Connection, table: LiteralString, scope: str, name: str) -> int:
    if problem := title_problem(name):
        raise InvalidInput.field(scope, problem)
    async with connection.transaction():
        await connection.execute(f"INSERT INTO {table} (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", (name,))
        found = await connection.execute(f"SELECT id FROM {table} WHERE name = %s", (name,))
        row = await found.fetchone()
        assert row is not None, "users and projects are never deleted"
        await connection.execute(
            "INSERT INTO quotas (scope, subject_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (scope, row["id"])
        )
        return int(row["id"])


async def _list(connection: Connection, table: LiteralString, owner: LiteralString) -> list[Principal]:
    found = await connection.execute(
        f"SELECT o.id, o.name, o.created, coalesce(k.n, 0) AS keys, coalesce(s.n, 0) AS servers FROM {table} o"
        f" LEFT JOIN (SELECT {owner} AS id, count(*) AS n FROM api_keys"
        f"            WHERE revoked IS NULL AND (expires IS NULL OR expires > now()) GROUP BY 1) k USING (id)"
        f" LEFT JOIN (SELECT {owner} AS id, count(*) AS n FROM servers GROUP BY 1) s USING (id) ORDER BY o.name"
    )
    return [Principal(**row) for row in await found.fetchall()]
