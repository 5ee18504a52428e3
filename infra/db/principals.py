"""Principals: users, who ask, and projects, which servers belong to. Both are made with a quota and never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from infra.db.pool import Connection
from infra.domain.errors import InvalidInput
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
