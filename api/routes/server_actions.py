"""/servers/{id}/actions/...: what can be done to a server that is there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, action_wire
from api.schemas.dns_ptr import ChangeDnsPtr
from api.schemas.servers import AddToPlacementGroup, ChangeServerProtection
from infra.db import placement_groups, primary_ips, servers
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import NotFound
from infra.domain.refusals import AlreadyInPlacementGroup, PlacementError, ServerNotStopped

router = APIRouter(tags=["servers"])


@router.post(
    "/servers/{id}/actions/change_protection",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_protection(changing: Changing, id: PathId, body: ChangeServerProtection) -> Response:
    """Whether the server is kept from being deleted and rebuilt. Nothing but the API asks for it."""
    return await changing.act(
        "change_protection",
        Resource("server", id),
        lambda c: servers.protect(c, changing.project_id, id, body.delete),
        body,
    )


@router.post(
    "/servers/{id}/actions/change_dns_ptr",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_dns_ptr(changing: Changing, id: PathId, body: ChangeDnsPtr) -> Response:
    """What one of its public addresses is called: kept with the address. Answered when the action has ended."""

    async def change(connection: Connection) -> None:
        primary_ip = await primary_ips.of_server_with(connection, changing.project_id, id, body.ip)
        await primary_ips.set_ptr(connection, changing.project_id, primary_ip, body.ip, body.dns_ptr)

    return await changing.act("change_dns_ptr", Resource("server", id), change, body)


@router.post(
    "/servers/{id}/actions/add_to_placement_group",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, ServerNotStopped, AlreadyInPlacementGroup, PlacementError),
)
async def add_to_placement_group(changing: Changing, id: PathId, body: AddToPlacementGroup) -> Response:
    """The server must be off, and its host may hold no other of the group: servers do not move."""
    return await changing.act(
        "add_to_placement_group",
        [Resource("server", id), Resource("placement_group", body.placement_group)],
        lambda c: placement_groups.add_server(c, changing.project_id, id, body.placement_group),
        body,
    )


@router.post(
    "/servers/{id}/actions/remove_from_placement_group",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def remove_from_placement_group(changing: Changing, id: PathId) -> Response:
    """Of a server that is in none it is done at once."""

    async def make(connection: Connection) -> dict[str, Any]:
        group = await placement_groups.remove_server(connection, changing.project_id, id)
        about = [Resource("server", id), *([Resource("placement_group", group)] if group else [])]
        return {"action": action_wire(await changing.begin(connection, "remove_from_placement_group", *about))}

    return await changing.once(make)
