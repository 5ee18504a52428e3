"""Idempotency keys: the first request with a key does it, the first answer written is everyone's answer.

What one transaction does is done, answered and remembered in it: ``once``. An order takes longer: its row is made in
the order's own transaction, so there is never one without the other, and a request that was cut off between commit and
answer is taken up by its repetition. Keys are forgotten after 24 hours. What was refused leaves no key behind: nothing
came of it, so that the same key may be tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.pool import Connection
from infra.domain.errors import Conflict, Unavailable

LIFE = "24 hours"


WRITE = """
UPDATE idempotency_keys SET status = coalesce(status, %(status)s), response = coalesce(response, %(response)s)
WHERE project_id = %(project_id)s AND route = %(route)s AND key = %(key)s
  AND server_id IS NOT DISTINCT FROM %(server_id)s
RETURNING status, response
"""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """``body_digest``: sha256 of what was asked, so that a key cannot be used for two different things."""

    project_id: int
    route: str
    key: str
    body_digest: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is the JSON text, byte for byte as the first client got it."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """What the key stands for; ``answer`` once there is one."""

    server_id: int
    action_id: int
    answer: Answer | None


async def once(connection: Connection, key: IdempotencyKey | None, do: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do it in one transaction, or answer as the request did that had the key before. Conflict: it asked otherwise."""
    if key is None:
        return await do()
    async with connection.transaction():
        if await reserve(connection, key):
            answer = await do()
            await connection.execute(WRITE, _written(key, answer))
            return answer
    row = await _row(connection, key)
    if row is None:
        raise Unavailable("another request with this Idempotency-Key is under way; try again")
    return Answer(row["status"], row["response"])


async def reserved(connection: Connection, key: IdempotencyKey) -> Reserved | None:
    """The order that an earlier request made with the key. Conflict: that request asked for something else."""
    row = await _row(connection, key)
    if row is None:
        return None
    answer = Answer(row["status"], row["response"]) if row["status"] is not None else None
    return Reserved(row["server_id"], row["action_id"], answer)


async def _row(connection: Connection, key: IdempotencyKey) -> DictRow | None:
    found = await connection.execute(
        "SELECT body_digest, server_id, action_id, status, response FROM idempotency_keys"
        " WHERE project_id = %s AND route = %s AND key = %s AND created > now() - %s::interval",
        (key.project_id, key.route, key.key, LIFE),
    )
    row = await found.fetchone()
    if row and bytes(row["body_digest"]) != key.body_digest:
        raise Conflict("the Idempotency-Key was used before with another request body; use a new key for a new request")
    return row


async def reserve(
    connection: Connection, key: IdempotencyKey, server_id: int | None = None, action_id: int | None = None
) -> bool:
    """Inside a transaction: False when another request has the key (it has committed by then)."""
    row = (key.project_id, key.route, key.key)
    await connection.execute(
        "DELETE FROM idempotency_keys WHERE project_id = %s AND route = %s AND key = %s"
        " AND created <= now() - %s::interval",
        (*row, LIFE),
    )
    done = await connection.execute(
        "INSERT INTO idempotency_keys (project_id, route, key, body_digest, server_id, action_id)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (*row, key.body_digest, server_id, action_id),
    )
    return done.rowcount == 1


async def write_answer(connection: Connection, key: IdempotencyKey, server_id: int, answer: Answer) -> Answer | None:
    """Write the answer unless one is there, and return the one that is: the first written wins.

    None: the key does not stand for this order any more.
    """
    row = await (await connection.execute(WRITE, _written(key, answer, server_id))).fetchone()
    return Answer(row["status"], row["response"]) if row else None


async def release(connection: Connection, server_id: int) -> None:
    """The order was refused: forget its key, unless somebody was already told otherwise."""
    await connection.execute("DELETE FROM idempotency_keys WHERE server_id = %s AND status IS NULL", (server_id,))


async def forget_old(connection: Connection) -> int:
    """For the sweep: drop what has outlived its 24 hours. Returns how many."""
    done = await connection.execute("DELETE FROM idempotency_keys WHERE created <= now() - %s::interval", (LIFE,))
    return done.rowcount


def _written(key: IdempotencyKey, answer: Answer, server_id: int | None = None) -> dict[str, Any]:
    row = {"project_id": key.project_id, "route": key.route, "key": key.key, "server_id": server_id}
    return {**row, "status": answer.status, "response": Jsonb(answer.body)}
