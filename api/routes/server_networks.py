"""/servers/{id}/actions/...: a server comes into a private network and leaves it, also while it runs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer
from api.schemas.networks import AttachToNetwork, ChangeAliasIps, DetachFromNetwork
from infra.db import network_members, networks, servers
from infra.db.network_members import Holder, Wish
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import NotFound, QuotaExceeded
from infra.domain.refusals import IpNotAvailable, NoSubnetAvailable, ServerAlreadyAttached

router = APIRouter(tags=["servers"])


@router.post(
    "/servers/{id}/actions/attach_to_network",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, ServerAlreadyAttached, IpNotAvailable, NoSubnetAvailable, QuotaExceeded),
)
async def attach_to_network(changing: Changing, id: PathId, body: AttachToNetwork) -> Response:
    """The server has the address from now on, and a further interface, also while it runs."""

    async def change(connection: Connection) -> None:
        wish = Wish(body.ip, body.ip_range, tuple(body.alias_ips))
        holder = await _holder(connection, changing.project_id, id, body.network)
        await network_members.join(connection, changing.project_id, body.network, holder, wish)

    return await _act(changing, "attach_to_network", id, body, change)


@router.post(
    "/servers/{id}/actions/detach_from_network",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def detach_from_network(changing: Changing, id: PathId, body: DetachFromNetwork) -> Response:
    async def change(connection: Connection) -> None:
        holder = await _holder(connection, changing.project_id, id, body.network)
        await network_members.leave(connection, changing.project_id, body.network, holder)

    return await _act(changing, "detach_from_network", id, body, change)


@router.post(
    "/servers/{id}/actions/change_alias_ips",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, IpNotAvailable),
)
async def change_alias_ips(changing: Changing, id: PathId, body: ChangeAliasIps) -> Response:
    """Replaces all that it had."""

    async def change(connection: Connection) -> None:
        holder = await _holder(connection, changing.project_id, id, body.network)
        await network_members.change_aliases(connection, changing.project_id, body.network, holder, body.alias_ips)

    return await _act(changing, "change_alias_ips", id, body, change)


async def _holder(connection: Connection, project_id: int, server_id: int, network_id: int) -> Holder:
    """NotFound: no such server. InvalidInput: no such network."""
    server = await servers.get(connection, project_id, server_id)
    await networks.require(connection, project_id, network_id)
    return Holder(server.location.network_zone, server_id=server_id)


async def _act(changing: Changing, command: str, id: int, body: Any, change: Any) -> Response:
    return await changing.act(command, [Resource("server", id), Resource("network", body.network)], change, body)
