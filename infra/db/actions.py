"""Actions: one asynchronous operation each; they outlive what they were done to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import sql
from psycopg.types.json import Jsonb

from infra.db.listing import Found, Window, find
from infra.db.pool import Connection
from infra.domain.changes import Resource, ResourceType
from infra.domain.errors import NotFound

SELECT = sql.SQL("SELECT * FROM actions")
SORTABLE = {column: sql.Identifier(column) for column in ("id", "command", "status", "started", "finished")}


@dataclass(frozen=True, slots=True)
class Action:
    id: int
    project_id: int
    server_id: int | None
    command: str
    status: Literal["running", "success", "error"]
    progress: int
    started: datetime
    finished: datetime | None
    error_code: str | None
    error_message: str | None
    timeline: list[dict[str, Any]]
    workflow_id: str | None
    resources: list[dict[str, Any]]
    location_id: int | None


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """``about``: one resource, or all of one type."""

    project_id: int
    ids: tuple[int, ...] | None = None
    about: Resource | ResourceType | None = None
    statuses: tuple[str, ...] = ()


async def get(
    connection: Connection, project_id: int, action_id: int, about: Resource | ResourceType | None = None
) -> Action:
    """NotFound for another project's, and for another resource's when ``about`` is given."""
    found = await connection.execute(
        "SELECT * FROM actions WHERE id = %s AND project_id = %s AND resources @> %s",
        (action_id, project_id, _containing(about)),
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound.of("action", action_id)
    return Action(**row)


async def find_all(connection: Connection, wanted: ActionFilter, window: Window) -> Found[Action]:
    tests: list[sql.Composable] = [sql.SQL("project_id = %(project)s")]
    if wanted.ids is not None:
        tests.append(sql.SQL("id = ANY(%(ids)s)"))
    if wanted.about is not None:
        tests.append(sql.SQL("resources @> %(about)s"))
    if wanted.statuses:
        tests.append(sql.SQL("status = ANY(%(statuses)s)"))
    params = {
        "project": wanted.project_id,
        "ids": list(wanted.ids or ()),
        "about": _containing(wanted.about),
        "statuses": list(wanted.statuses),
    }
    return await find(
        connection, SELECT, sql.SQL("actions"), tests, window, SORTABLE, lambda row: Action(**row), params
    )


async def of_server(connection: Connection, server_id: int) -> list[Action]:
    """Everything done to a server, oldest first."""
    found = await connection.execute("SELECT * FROM actions WHERE server_id = %s ORDER BY id", (server_id,))
    return [Action(**row) for row in await found.fetchall()]


def _containing(about: Resource | ResourceType | None) -> Jsonb:
    match about:
        case None:
            return Jsonb([])
        case Resource():
            return Jsonb([{"id": about.id, "type": about.type}])
        case _:
            return Jsonb([{"type": about}])
