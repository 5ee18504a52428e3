"""Placement groups of a project, and which servers are in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.domain.refusals import ResourceInUse

SELECT = sql.SQL("""
SELECT r.id, r.name, r.type, r.labels, r.created,
       ARRAY(SELECT s.id FROM servers s WHERE s.placement_group_id = r.id ORDER BY s.id) AS servers
FROM placement_groups r""")


@dataclass(frozen=True, slots=True)
class PlacementGroup:
    id: int
    name: str
    type: str
    labels: dict[str, str]
    created: datetime
    servers: list[int]


KIND = Kind("placement_groups", "placement group", SELECT, lambda row: PlacementGroup(**row), protectable=False)


async def create(
    connection: Connection, project_id: int, name: str, type: str, labels: dict[str, str]
) -> PlacementGroup:
    values = {"project_id": project_id, "name": name, "type": type, "labels": Jsonb(labels)}
    return await KIND.get(connection, project_id, await KIND.insert(connection, values))


async def delete(connection: Connection, project_id: int, id: int) -> None:
    """ResourceInUse: servers are in it."""
    try:
        await KIND.delete(connection, project_id, id)
    except errors.ForeignKeyViolation as cause:
        raise ResourceInUse("the placement group has servers: delete them or take them out first") from cause
