"""Power in the books: what a server is to be, from the moment a command is accepted, and how the command ended.

Each command raises the epoch of the server's claim: a host obeys the newest one only, so that neither a step of an
earlier command nor its own care for what should run comes after it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from infra.db.pool import Connection
from infra.domain.errors import NotFound
from infra.domain.power import POWER, Powered

ORDER = """
WITH told AS (
    UPDATE servers SET desired = %(desired)s, epoch = epoch + 1,
                       status = CASE WHEN status = %(already)s THEN status ELSE coalesce(%(meanwhile)s, status) END
    WHERE id = %(server_id)s AND project_id = %(project_id)s RETURNING id, epoch, location_id
), claimed AS (
    UPDATE claims SET epoch = told.epoch FROM told WHERE claims.server_id = told.id
)
SELECT l.name FROM told JOIN locations l ON l.id = told.location_id
"""

# While the lock is the command's: a delete that has taken it over goes on as it is.
FINISH = """
WITH ended AS (
    UPDATE actions SET status = CASE WHEN %(code)s::text IS NULL THEN 'success' ELSE 'error' END,
                       progress = CASE WHEN %(code)s::text IS NULL THEN 100 ELSE progress END, finished = now(),
                       error_code = %(code)s, error_message = %(message)s, timeline = %(timeline)s
    WHERE id = %(action_id)s AND status = 'running'
)
UPDATE servers SET status = %(status)s, locked_by = NULL WHERE id = %(server_id)s AND locked_by = %(action_id)s
"""

# Until another command: that has raised the epoch. A guest that does not obey is to run on.
SETTLE = """
UPDATE servers SET status = %(status)s, desired = CASE %(status)s WHEN 'running' THEN 'on' ELSE 'off' END
WHERE id = %(server_id)s AND epoch = %(epoch)s AND status = 'running'
"""


async def order(connection: Connection, project_id: int, server_id: int, command: str) -> str:
    """Write down what the server is to be, in the transaction that takes its lock; its location. NotFound."""
    wanted = {**asdict(POWER[command]), "project_id": project_id, "server_id": server_id}
    row = await (await connection.execute(ORDER, wanted)).fetchone()
    if row is None:
        raise NotFound.of("server", server_id)
    return str(row["name"])


async def finish(connection: Connection, powered: Powered, timeline: list[dict[str, Any]]) -> None:
    """The action has ended and lets its server go; again is fine."""
    values = {
        "action_id": powered.change.action_id,
        "server_id": powered.change.server_id,
        "status": powered.status,
        "code": powered.failure.code if powered.failure else None,
        "message": powered.failure.message if powered.failure else None,
        "timeline": Jsonb(timeline),
    }
    await connection.execute(FINISH, values)


async def settle(connection: Connection, powered: Powered) -> None:
    """What became of a server that was told to shut down, long after its action ended."""
    values = {"server_id": powered.change.server_id, "epoch": powered.epoch, "status": powered.status}
    await connection.execute(SETTLE, values)
