"""Change a zone, or an RRSet of it: under the zone's lock, in one transaction with its action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel

from api.changes import ChangeRequest
from api.schemas.actions import action_wire
from infra.db import zones
from infra.db.pool import Connection
from infra.db.zones import Zone
from infra.domain.changes import Resource
from infra.domain.zones import Mode

ChangeZone = Callable[[Connection, Zone], Awaitable[Mapping[str, Any] | None]]
"""What it returns is told beside the action."""


async def change_zone(
    changing: ChangeRequest,
    asked: str,
    command: str,
    change: ChangeZone,
    body: BaseModel | None = None,
    *,
    mode: Mode | None = None,
    status: int = 201,
) -> Response:
    """``asked``: the zone's id or name. NotFound; IncorrectZoneMode unless it is of the ``mode`` that is wanted."""

    async def make(connection: Connection) -> Mapping[str, Any]:
        zone = await zones.locked(connection, changing.project_id, asked, mode)
        told = await change(connection, zone)
        action = await changing.begin(connection, command, Resource("zone", zone.id))
        return {**(told or {}), "action": action_wire(action)}

    return await changing.once(make, body, status)


async def change_contents(
    changing: ChangeRequest,
    asked: str,
    command: str,
    change: ChangeZone,
    body: BaseModel | None = None,
) -> Response:
    """What a primary zone answers: its serial rises."""

    async def settled(connection: Connection, zone: Zone) -> Mapping[str, Any] | None:
        told = await change(connection, zone)
        await zones.settle(connection, zone)
        return told

    return await change_zone(changing, asked, command, settled, body, mode="primary")
