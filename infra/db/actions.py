"""Actions: one asynchronous operation each; they outlive what they were done to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.domain.errors import NotFound

SELECT = sql.SQL("SELECT * FROM actions")
SORTABLE = {column: sql.Identifier(column) for column in ("id", "command", "status", "started", "finished")}


@dataclass(frozen=True, slots=True)
class Action:
    id: int
    project_id: int
    server_id: int
    command: str
    status: str
    progress: int
    started: datetime
    finished: datetime | None
    error_code: str | None
    error_message: str | None
    timeline: list[dict[str, Any]]
    workflow_id: str | None


@dataclass(frozen=True, slots=True)
class ActionFilter:
    project_id: int
    ids: tuple[int, ...] | None = None
    server_id: int | None = None
    statuses: tuple[str, ...] = ()


async def get(connection: Connection, project_id: int, action_id: int, server_id: int | None = None) -> Action:
    """NotFound for another project's, and for another server's when ``server_id`` is given."""
    row = await (
        await connection.execute(
            "SELECT * FROM actions WHERE id = %s AND project_id = %s AND server_id = coalesce(%s, server_id)",
            (action_id, project_id, server_id),
        )
    ).fetchone()
    if row is None:
        raise NotFound(f"action with ID '{action_id}' not found")
    return Action(**row)


async def find_all(connection: Connection, wanted: ActionFilter, window: Window) -> Found[Action]:
    tests: list[sql.Composable] = [sql.SQL("project_id = %(project)s")]
    if wanted.ids is not None:
        tests.append(sql.SQL("id = ANY(%(ids)s)"))
    if wanted.server_id is not None:
        tests.append(sql.SQL("server_id = %(server)s"))
    if wanted.statuses:
        tests.append(sql.SQL("status = ANY(%(statuses)s)"))
    params = {
        "project": wanted.project_id,
        "ids": list(wanted.ids or ()),
        "server": wanted.server_id,
        "statuses": list(wanted.statuses),
    }
    return await find(connection, SELECT, tests, window, SORTABLE, lambda row: Action(**row), params)


async def of_server(connection: Connection, server_id: int) -> list[Action]:
    """Everything done to a server, oldest first."""
    found = await connection.execute("SELECT * FROM actions WHERE server_id = %s ORDER BY id", (server_id,))
    return [Action(**row) for row in await found.fetchall()]
