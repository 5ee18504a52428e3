"""Changes of resources in the books: an action beside what was changed, and how it ends.

The action is written in the transaction that changes the books, so there is never one without the other; a change whose
story was not begun, or was ended by force, is found here by the sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db import names_refused
from infra.db.actions import Action
from infra.db.pool import Connection
from infra.domain.changes import Change, Resource
from infra.domain.errors import Locked
from infra.temporal.names import change_id

INSERT = """
INSERT INTO actions (project_id, command, resources, location_id, server_id)
VALUES (%(project_id)s, %(command)s, %(resources)s, (SELECT id FROM locations WHERE name = %(location)s), %(server_id)s)
RETURNING *
"""

NAME = "UPDATE actions SET workflow_id = %s WHERE id = %s RETURNING *"

LOCK = """
UPDATE servers SET locked_by = %(action_id)s WHERE id = %(server_id)s AND locked_by IS NULL
"""

FINISH = """
WITH ended AS (
    UPDATE actions SET status = CASE WHEN %(code)s::text IS NULL THEN 'success' ELSE 'error' END, progress = 100,
                       error_code = %(code)s, error_message = %(message)s, finished = now(), timeline = %(timeline)s
    WHERE id = %(action_id)s AND status = 'running'
), looked_after AS (
    DELETE FROM network_leavers WHERE action_id = %(action_id)s
)
UPDATE servers SET locked_by = NULL WHERE id = %(server_id)s AND locked_by = %(action_id)s
"""

WAITING = """
SELECT a.id, a.project_id, a.server_id, l.name AS location, a.command, a.resources
FROM actions a JOIN locations l ON l.id = a.location_id
WHERE a.status = 'running' AND l.name = %s AND a.started < now() - make_interval(secs => %s) ORDER BY a.started
"""


async def accept(
    connection: Connection,
    project_id: int,
    location: str,
    command: str,
    resources: Sequence[Resource],
    *,
    locks_server: bool = False,
) -> tuple[Action, Change]:
    """Make the action of a change, in the change's own transaction. ``resources``: what it changes first.

    A server among them is named, so that its end is the action's end as well; ``locks_server`` keeps every other
    action off it meanwhile. Locked: another has it.
    """
    server_id = next((one.id for one in resources if one.type == "server"), None)
    told = [{"id": one.id, "type": one.type} for one in resources]
    values = {"project_id": project_id, "location": location, "command": command, "server_id": server_id}
    row = await (await connection.execute(INSERT, {**values, "resources": Jsonb(told)})).fetchone()
    assert row is not None, "INSERT ... RETURNING returns a row or raises"
    change = _change(row, location)
    named = await (await connection.execute(NAME, (change_id(change), row["id"]))).fetchone()
    assert named is not None
    if locks_server:
        locked = await connection.execute(LOCK, {"action_id": row["id"], "server_id": server_id})
        if locked.rowcount == 0:
            raise Locked("server is locked: another action works on it")
    return Action(**named), change


async def finish(connection: Connection, change: Change, timeline: list[dict[str, Any]]) -> None:
    """The action is done and lets its server go; again is fine. It ends with an error where what it brought is not
    taken by those who shall serve it."""
    refused = await names_refused.of_change(connection, change)
    told = {"code": refused and refused.code, "message": refused and refused.message}
    values = {"action_id": change.action_id, "server_id": change.server_id, "timeline": Jsonb(timeline), **told}
    await connection.execute(FINISH, values)


async def waiting(connection: Connection, location: str, older_than: float) -> list[Change]:
    """Accepted more than ``older_than`` seconds ago and not done: under way, or never begun."""
    found = await connection.execute(WAITING, (location, older_than))
    return [_change(row, row["location"]) for row in await found.fetchall()]


def _change(row: DictRow, location: str) -> Change:
    first = row["resources"][0]
    return Change(
        row["id"], row["project_id"], location, row["command"], Resource(first["type"], first["id"]), row["server_id"]
    )
