"""Records: how an operation ends, and what a server holds until then.

A row is the lock: a create ends its server's story only while it holds ``locked_by``, which a delete takes over. With
the row goes whatever the server holds by then: a reserving step whose worker was paused may have come after its undo.
"""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from infra.db import addresses, claims, orders, quotas
from infra.db.pool import Connection
from infra.domain.models import (
    DELETED,
    DeleteOrder,
    FailedOrder,
    Failure,
    FinishedOrder,
    Holdings,
    Machine,
    ServerOrder,
)

FINISH_SERVER = """
UPDATE servers SET host_key = coalesce(%(host_key)s, host_key),
                   status = CASE WHEN locked_by = %(action_id)s THEN %(status)s ELSE status END,
                   locked_by = nullif(locked_by, %(action_id)s)
WHERE id = %(server_id)s
"""

SUCCEED = """
UPDATE actions SET status = 'success', progress = 100, finished = now(), timeline = %(timeline)s
WHERE id = ANY(%(actions)s) AND status = 'running'
"""

FAIL = """
UPDATE actions SET status = 'error', finished = now(), error_code = %(code)s, error_message = %(message)s,
                   timeline = %(timeline)s
WHERE id = ANY(%(actions)s) AND status = 'running'
"""

END_ALL = """
UPDATE actions SET status = 'error', finished = now(), error_code = %(code)s, error_message = %(message)s
WHERE server_id = %(server_id)s AND status = 'running'
"""


async def finish(connection: Connection, finished: FinishedOrder, timeline: list[dict[str, Any]]) -> None:
    order = finished.order
    parameters = {
        "server_id": order.server_id,
        "action_id": order.action_id,
        "host_key": finished.readiness.host_key if finished.readiness else None,
        "status": "running" if order.start else "off",
    }
    await connection.execute(FINISH_SERVER, parameters)
    await connection.execute(SUCCEED, {"actions": _actions(order), "timeline": Jsonb(timeline)})


async def fail(connection: Connection, failed: FailedOrder, timeline: list[dict[str, Any]]) -> None:
    """The actions say why, and the row goes, unless a delete has taken it over and will do that itself."""
    order = failed.order
    parameters = {"actions": _actions(order), "code": failed.failure.code, "message": failed.failure.message}
    await connection.execute(FAIL, {**parameters, "timeline": Jsonb(timeline)})
    mine = "SELECT id FROM servers WHERE id = %s AND locked_by = %s"
    if await (await connection.execute(mine + " FOR UPDATE", (order.server_id, order.action_id))).fetchone():
        await _forget(connection, order.server_id)


async def holdings(connection: Connection, server_id: int) -> Holdings | None:
    order = await orders.load_order(connection, server_id)
    if order is None:
        return None
    claim = await claims.of_server(connection, server_id)
    held = await addresses.with_members(connection, server_id)
    return Holdings(order, Machine.of(order, claim, held) if claim else None)


async def finish_delete(connection: Connection, order: DeleteOrder, timeline: list[dict[str, Any]]) -> None:
    """A create that never began ends here as well: nobody else would tell those who wait for it."""
    await connection.execute("SELECT FROM servers WHERE id = %s FOR UPDATE", (order.server_id,))
    await _forget(connection, order.server_id)
    await connection.execute(SUCCEED, {"actions": [order.action_id], "timeline": Jsonb(timeline)})
    await end_all(connection, order.server_id, DELETED)


async def end_all(connection: Connection, server_id: int, failure: Failure) -> int:
    """End what is running on a server and nobody works on any more; the number of actions."""
    parameters = {"server_id": server_id, "code": failure.code, "message": failure.message}
    return (await connection.execute(END_ALL, parameters)).rowcount


async def _forget(connection: Connection, server_id: int) -> None:
    """The row, which the caller has locked so that nobody takes more for it, and what it holds."""
    for release in (addresses.release, claims.release, quotas.release):
        await release(connection, server_id)
    await connection.execute("DELETE FROM servers WHERE id = %s", (server_id,))


def _actions(order: ServerOrder) -> list[int]:
    return [order.action_id] if order.start_action_id is None else [order.action_id, order.start_action_id]
