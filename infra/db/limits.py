"""Limits: how much a user or a project may take at a time, and how much of it is taken.

What is held already stays, also above a new limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from infra.db.pool import Connection
from infra.domain.errors import NotFound
from infra.domain.quota import Limits, Scope

# What is held is a part of what is used, so both are read at one moment.
SELECT = """
WITH held AS (
    SELECT o.scope, o.subject_id, count(*) AS servers, sum(r.cores) AS cores,
           sum(r.memory_mib)::bigint AS memory_mib, sum(r.disk_gib)::bigint AS disk_gib
    FROM servers s JOIN quota_reservations r ON r.server_id = s.id
    CROSS JOIN LATERAL (VALUES ('user', r.user_id), ('project', r.project_id)) o (scope, subject_id)
    WHERE s.status = 'initializing' GROUP BY o.scope, o.subject_id
)
SELECT q.*, coalesce(u.name, p.name) AS name, coalesce(h.servers, 0) AS held_servers,
       coalesce(h.cores, 0) AS held_cores, coalesce(h.memory_mib, 0) AS held_memory_mib,
       coalesce(h.disk_gib, 0) AS held_disk_gib
FROM quotas q
LEFT JOIN users u ON q.scope = 'user' AND u.id = q.subject_id
LEFT JOIN projects p ON q.scope = 'project' AND p.id = q.subject_id
LEFT JOIN held h ON h.scope = q.scope AND h.subject_id = q.subject_id
"""
ALL = f"{SELECT} ORDER BY q.scope, name"
OF_OWNER = f"""
{SELECT} WHERE (q.scope, q.subject_id) IN (('user', %(user_id)s), ('project', %(project_id)s)) ORDER BY q.scope
"""

SET = """
UPDATE quotas SET
    max_servers = coalesce(%(servers)s, max_servers), max_cores = coalesce(%(cores)s, max_cores),
    max_memory_mib = coalesce(%(memory_mib)s, max_memory_mib), max_disk_gib = coalesce(%(disk_gib)s, max_disk_gib)
WHERE scope = %(scope)s AND subject_id = CASE %(scope)s
    WHEN 'user' THEN (SELECT id FROM users WHERE name = %(name)s)
    ELSE (SELECT id FROM projects WHERE name = %(name)s) END
RETURNING max_servers AS servers, max_cores AS cores, max_memory_mib AS memory_mib, max_disk_gib AS disk_gib
"""


@dataclass(frozen=True, slots=True)
class Amount:
    """``used``: what servers take; ``held``: the part of it that servers take whose create is under way."""

    limit: int
    used: int
    held: int


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """What a user or a project may take and takes. Memory in MiB, disk in GiB."""

    scope: Scope
    id: int
    name: str
    servers: Amount
    cores: Amount
    memory_mib: Amount
    disk_gib: Amount


async def list_all(connection: Connection) -> list[QuotaUse]:
    return [_use(row) for row in await (await connection.execute(ALL)).fetchall()]


async def of_owner(connection: Connection, user_id: int, project_id: int) -> list[QuotaUse]:
    """The project's, then the user's."""
    found = await connection.execute(OF_OWNER, {"user_id": user_id, "project_id": project_id})
    return [_use(row) for row in await found.fetchall()]


async def set_limits(connection: Connection, scope: Scope, name: str, limits: Limits) -> Limits:
    """Change what is given and return all of them. NotFound: no such user or project."""
    found = await connection.execute(SET, {**asdict(limits), "scope": scope, "name": name})
    row = await found.fetchone()
    if row is None:
        raise NotFound(f"there is no {scope} {name}")
    return Limits(**row)


def _use(row: Mapping[str, Any]) -> QuotaUse:
    def amount(resource: str) -> Amount:
        return Amount(row[f"max_{resource}"], row[f"used_{resource}"], row[f"held_{resource}"])

    amounts = (amount(resource) for resource in ("servers", "cores", "memory_mib", "disk_gib"))
    return QuotaUse(row["scope"], row["subject_id"], row["name"], *amounts)
