"""Quota requests: more of something than a user or a project may take now, until an operator decides.

A request is decided once, and what it asks for never lowers a limit: one guarded statement does both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import sql

from infra.db.keys import Caller
from infra.db.named import Kind
from infra.db.pool import Connection
from infra.domain.errors import Conflict, InvalidInput
from infra.domain.quota import Limits, Quota, Scope

State = Literal["open", "approved", "rejected"]

SELECT = sql.SQL("""
SELECT r.*, coalesce(u.name, p.name) AS subject
FROM quota_requests r
LEFT JOIN users u ON r.scope = 'user' AND u.id = r.subject_id
LEFT JOIN projects p ON r.scope = 'project' AND p.id = r.subject_id""")

OPEN = sql.SQL("{} WHERE r.state = 'open' ORDER BY r.id").format(SELECT)
ONE = sql.SQL("{} WHERE r.id = %s").format(SELECT)

PRESENT = "SELECT * FROM quotas WHERE (scope, subject_id) = (%(scope)s, %(subject_id)s)"

INSERT = """
INSERT INTO quota_requests (project_id, user_id, scope, max_servers, max_cores, max_memory_mib, max_disk_gib, reason)
VALUES (%(project_id)s, %(user_id)s, %(scope)s, %(servers)s, %(cores)s, %(memory_mib)s, %(disk_gib)s, %(reason)s)
RETURNING id
"""

# greatest() takes no notice of what is NULL, which is what was not asked for.
APPROVE = """
WITH approved AS (
    UPDATE quota_requests SET state = 'approved', decided = now() WHERE id = %s AND state = 'open' RETURNING *
)
UPDATE quotas q SET
    max_servers = greatest(q.max_servers, a.max_servers), max_cores = greatest(q.max_cores, a.max_cores),
    max_memory_mib = greatest(q.max_memory_mib, a.max_memory_mib),
    max_disk_gib = greatest(q.max_disk_gib, a.max_disk_gib)
FROM approved a WHERE (q.scope, q.subject_id) = (a.scope, a.subject_id)
"""

REJECT = "UPDATE quota_requests SET state = 'rejected', decided = now() WHERE id = %s AND state = 'open'"


@dataclass(frozen=True, slots=True)
class QuotaRequest:
    """``subject``: the name of the user or the project whose limits are asked for."""

    id: int
    scope: Scope
    subject: str
    limits: Limits
    reason: str
    state: State
    created: datetime
    decided: datetime | None


def _request(row: Mapping[str, Any]) -> QuotaRequest:
    limits = Limits(row["max_servers"], row["max_cores"], row["max_memory_mib"], row["max_disk_gib"])
    names = ("id", "scope", "subject", "reason", "state", "created", "decided")
    return QuotaRequest(limits=limits, **{name: row[name] for name in names})


KIND = Kind("quota_requests", "quota request", SELECT, _request, sortable=("id", "state", "created"), protectable=False)


async def ask(connection: Connection, caller: Caller, scope: Scope, limits: Limits, reason: str) -> QuotaRequest:
    """InvalidInput names each limit that is not more than the present one.

    That one may be raised at the same moment: then there is nothing left to approve, and it does no harm.
    """
    subject_id = caller.user_id if scope == "user" else caller.project_id
    found = await connection.execute(PRESENT, {"scope": scope, "subject_id": subject_id})
    row = await found.fetchone()
    assert row is not None, "users and projects are made together with their quota"
    if problems := Quota(**row).not_raised_by(limits):
        raise InvalidInput.fields(problems)
    values = {"project_id": caller.project_id, "user_id": caller.user_id, "scope": scope, "reason": reason}
    made = await (await connection.execute(INSERT, {**values, **asdict(limits)})).fetchone()
    assert made is not None, "INSERT ... RETURNING returns a row or raises"
    return await KIND.get(connection, caller.project_id, made["id"])


async def list_open(connection: Connection) -> list[QuotaRequest]:
    return [_request(row) for row in await (await connection.execute(OPEN)).fetchall()]


async def approve(connection: Connection, id: int) -> QuotaRequest:
    """Raise the limits, once; again is fine. NotFound; Conflict: it was rejected."""
    await connection.execute(APPROVE, (id,))
    return await _decided(connection, id, "approved")


async def reject(connection: Connection, id: int) -> QuotaRequest:
    """Again is fine. NotFound; Conflict: it was approved."""
    await connection.execute(REJECT, (id,))
    return await _decided(connection, id, "rejected")


async def _decided(connection: Connection, id: int, state: State) -> QuotaRequest:
    row = await (await connection.execute(ONE, (id,))).fetchone()
    if row is None:
        raise KIND.unknown(id)
    if row["state"] != state:
        raise Conflict(f"quota request {id} was {row['state']} before")
    return _request(row)
