"""/networks: private networks, their subnets and routes. Whoever is in one follows what is changed of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import ChangeBooks, Changing, ChangingAlong
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer
from api.schemas.fields import ChangeProtection
from api.schemas.networks import (
    ChangeIpRange,
    CreateNetwork,
    NetworkAnswer,
    NetworksAnswer,
    NewSubnet,
    RouteBody,
    SubnetName,
    UpdateNetwork,
    network_wire,
)
from api.services import Asking, Use
from infra.db import network_members, networks
from infra.db.named import Wanted
from infra.db.networks import KIND, NewNetwork
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import InvalidInput, NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import parse_selector
from infra.domain.refusals import NetworksOverlap, NoSubnetAvailable, Protected, ServiceError

router = APIRouter(tags=["networks"])


@router.post(
    "/networks",
    status_code=201,
    response_model=NetworkAnswer,
    responses=failing(UniquenessError, QuotaExceeded, NetworksOverlap, NoSubnetAvailable, ServiceError),
)
async def create_network(changing: Changing, body: CreateNetwork) -> Response:
    """With its subnets and routes."""
    project_id = changing.project_id

    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, project_id, changing.services.settings.networks_per_project)
        await _check_zones(connection, {f"subnets.{n}.": subnet for n, subnet in enumerate(body.subnets)})
        new = NewNetwork(project_id, body.name, body.ip_range, body.expose_routes_to_vswitch, dict(body.labels))
        id = await networks.create(connection, new)
        for n, subnet in enumerate(body.subnets):
            where = f"subnets.{n}."
            await networks.add_subnet(
                connection, project_id, id, subnet.network_zone, subnet.type, subnet.ip_range, where
            )
        for n, route in enumerate(body.routes):
            await networks.add_route(connection, project_id, id, route.route, f"routes.{n}.")
        return {"network": network_wire(await KIND.get(connection, project_id, id))}

    return await changing.once(make, body)


@router.get("/networks")
async def list_networks(
    use: Use, asking: Asking, page: Page, name: str | None = None, label_selector: str = ""
) -> NetworksAnswer:
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector))
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
    return {"networks": [network_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/networks/{id:one}", responses=failing(NotFound))
async def get_network(use: Use, asking: Asking, id: PathId) -> NetworkAnswer:
    async with use.pool.connection() as connection:
        return {"network": network_wire(await KIND.get(connection, asking.project_id, id))}


@router.put("/networks/{id:one}", responses=failing(NotFound, UniquenessError))
async def update_network(use: Use, asking: Asking, id: PathId, body: UpdateNetwork) -> NetworkAnswer:
    async with use.pool.connection() as connection:
        routes = body.expose_routes_to_vswitch
        found = await KIND.update(connection, asking.project_id, id, body.name, body.labels, vswitch_routes=routes)
    return {"network": network_wire(found)}


@router.delete("/networks/{id:one}", status_code=204, responses=failing(NotFound, Protected))
async def delete_network(changing: ChangingAlong, id: PathId) -> None:
    """Whoever is in it leaves it, all by one action."""

    async def make(connection: Connection) -> None:
        await KIND.lock(connection, changing.project_id, id)
        action = await changing.begin(connection, "delete_network", Resource("network", id))
        await network_members.leave_behind(connection, action.id, id)
        await KIND.delete(connection, changing.project_id, id)

    await changing.along(make)


@router.post(
    "/networks/{id}/actions/add_subnet",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, NetworksOverlap, NoSubnetAvailable, ServiceError, QuotaExceeded),
)
async def add_subnet(changing: Changing, id: PathId, body: NewSubnet) -> Response:
    async def change(connection: Connection) -> None:
        await KIND.lock(connection, changing.project_id, id)  # one that is not there comes before what is wrong with it
        await _check_zones(connection, {"": body})
        await networks.add_subnet(connection, changing.project_id, id, body.network_zone, body.type, body.ip_range)

    return await _act(changing, "add_subnet", id, change, body)


@router.post(
    "/networks/{id}/actions/delete_subnet",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, ServiceError),
)
async def delete_subnet(changing: Changing, id: PathId, body: SubnetName) -> Response:
    """Refused while anything has an address in it."""
    return await _act(
        changing, "delete_subnet", id, lambda c: networks.delete_subnet(c, changing.project_id, id, body.ip_range), body
    )


@router.post(
    "/networks/{id}/actions/add_route",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, QuotaExceeded),
)
async def add_route(changing: Changing, id: PathId, body: RouteBody) -> Response:
    return await _act(
        changing, "add_route", id, lambda c: networks.add_route(c, changing.project_id, id, body.route), body
    )


@router.post(
    "/networks/{id}/actions/delete_route",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def delete_route(changing: Changing, id: PathId, body: RouteBody) -> Response:
    return await _act(
        changing, "delete_route", id, lambda c: networks.delete_route(c, changing.project_id, id, body.route), body
    )


@router.post(
    "/networks/{id}/actions/change_ip_range",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_ip_range(changing: Changing, id: PathId, body: ChangeIpRange) -> Response:
    """To a wider one that begins at the same address; to the present one is fine."""
    return await _act(
        changing, "change_ip_range", id, lambda c: networks.widen(c, changing.project_id, id, body.ip_range), body
    )


@router.post(
    "/networks/{id}/actions/change_protection",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_protection(changing: Changing, id: PathId, body: ChangeProtection) -> Response:
    return await _act(
        changing, "change_protection", id, lambda c: KIND.protect(c, changing.project_id, id, body.delete), body
    )


async def _act(changing: Changing, command: str, id: int, change: ChangeBooks, body: Any) -> Response:
    return await changing.act(command, Resource("network", id), change, body)


async def _check_zones(connection: Connection, asked: dict[str, NewSubnet]) -> None:
    """``asked``: by the field that a subnet stands in."""
    there = await networks.zones(connection)
    problems = [
        (f"{where}network_zone", f"{subnet.network_zone!r} is none of {', '.join(there)}")
        for where, subnet in asked.items()
        if subnet.network_zone not in there
    ]
    if problems:
        raise InvalidInput.fields(problems)
    if any(subnet.type == "vswitch" for subnet in asked.values()):
        raise ServiceError("vswitch not found")
