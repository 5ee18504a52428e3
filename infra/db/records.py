"""Records: how an operation ends, and what a server holds until then.

A row is the lock: a create ends its server's story only while it holds ``locked_by``, which a delete takes over.
"""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from infra.db import claims, orders
from infra.db.addresses import of_server
from infra.db.pool import Connection
from infra.domain.models import (
    DELETED,
    Addresses,
    DeleteOrder,
    FailedOrder,
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


OVERTAKE = """
UPDATE actions SET status = 'error', finished = now(), error_code = %(code)s, error_message = %(message)s
WHERE server_id = %(server_id)s AND id <> %(delete)s AND status = 'running'
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
    await connection.execute("DELETE FROM servers WHERE id = %s AND locked_by = %s", (order.server_id, order.action_id))


async def holdings(connection: Connection, server_id: int) -> Holdings | None:
    order = await orders.load_order(connection, server_id)
    if order is None:
        return None
    claim = await claims.of_server(connection, server_id)
    held = await of_server(connection, server_id)
    addresses = Addresses(held.get("ipv4"), held.get("ipv6"))
    return Holdings(order, Machine.of(order, claim, addresses) if claim else None)


async def finish_delete(connection: Connection, order: DeleteOrder, timeline: list[dict[str, Any]]) -> None:
    """A create that never began ends here as well: nobody else would tell those who wait for it."""
    await connection.execute("DELETE FROM servers WHERE id = %s", (order.server_id,))
    parameters = {"server_id": order.server_id, "delete": order.action_id}
    await connection.execute(OVERTAKE, {**parameters, "code": DELETED.code, "message": DELETED.message})
    await connection.execute(SUCCEED, {"actions": [order.action_id], "timeline": Jsonb(timeline)})


def _actions(order: ServerOrder) -> list[int]:
    return [order.action_id] if order.start_action_id is None else [order.action_id, order.start_action_id]
