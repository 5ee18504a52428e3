"""/load_balancers: create, list, show, change, delete. An edge of the location serves each of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.load_balancer_choices import choose
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, action_wire
from api.schemas.load_balancer_requests import CreateLoadBalancer, UpdateLoadBalancer
from api.schemas.load_balancers import (
    CreatedLoadBalancer,
    LoadBalancerAnswer,
    LoadBalancersAnswer,
    LoadBalancerWire,
    load_balancer_wire,
)
from api.services import Asking, Use
from infra.db import (
    edge_plans,
    load_balancer_health,
    load_balancer_services,
    load_balancer_targets,
    load_balancers,
)
from infra.db.load_balancer_types import load_balancer_types
from infra.db.load_balancers import KIND, LoadBalancer, NewLoadBalancer
from infra.db.locations import locations
from infra.db.named import Wanted
from infra.db.network_members import ANYWHERE
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import InvalidInput, NotFound, QuotaExceeded, ResourceUnavailable, UniquenessError
from infra.domain.labels import parse_selector
from infra.domain.refusals import (
    IpNotAvailable,
    IpNotOwned,
    LoadBalancerNotAttachedToNetwork,
    LoadBalancerPublicInterfaceDisabled,
    NoSubnetAvailable,
    Protected,
    ResolveCloudPrivateTargetsError,
    ResolveCloudPublicTargetsError,
    SourcePortAlreadyUsed,
    TargetAlreadyDefined,
    UnsupportedError,
)

router = APIRouter(tags=["load_balancers"])

TARGETING = (
    *(TargetAlreadyDefined, IpNotOwned, LoadBalancerNotAttachedToNetwork, LoadBalancerPublicInterfaceDisabled),
    *(ResolveCloudPrivateTargetsError, ResolveCloudPublicTargetsError, QuotaExceeded),
)
"""What a target that is added may come to."""

METRICS = ("open_connections", "connections_per_second", "requests_per_second", "bandwidth")


@router.post(
    "/load_balancers",
    status_code=201,
    response_model=CreatedLoadBalancer,
    responses=failing(
        UniquenessError, ResourceUnavailable, SourcePortAlreadyUsed, IpNotAvailable, NoSubnetAvailable, *TARGETING
    ),
)
async def create_load_balancer(use: Use, changing: Changing, body: CreateLoadBalancer) -> Response:
    """With two public addresses of its own, its network, services and targets."""
    project_id = changing.project_id

    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, project_id, use.settings.load_balancers_per_project)
        choice = await choose(connection, project_id, body, use.settings.location)
        new = NewLoadBalancer(
            project_id,
            body.name,
            choice.type.id,
            choice.location,
            body.algorithm.type,
            body.public_interface,
            dict(body.labels),
        )
        id = await load_balancers.create(connection, new, use.settings.address_rest)
        if body.network:
            await load_balancers.attach(connection, project_id, id, body.network, ANYWHERE)
        for service in body.services:
            await load_balancer_services.add(connection, project_id, id, service.sent)
        for target in body.targets:
            await load_balancer_targets.add(connection, project_id, id, target.named, target.use_private_ip)
        action = await changing.begin(connection, "create_load_balancer", Resource("load_balancer", id))
        made = await KIND.get(connection, project_id, id)
        return {"load_balancer": (await _shown(connection, [made]))[0], "action": action_wire(action)}

    return await changing.once(make, body)


@router.get("/load_balancers")
async def list_load_balancers(
    use: Use, asking: Asking, page: Page, name: str | None = None, label_selector: str = ""
) -> LoadBalancersAnswer:
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector))
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
        return {"load_balancers": await _shown(connection, found.items), "meta": meta(page, found.total)}


@router.get("/load_balancers/{id:one}", responses=failing(NotFound))
async def get_load_balancer(use: Use, asking: Asking, id: PathId) -> LoadBalancerAnswer:
    async with use.pool.connection() as connection:
        found = await KIND.get(connection, asking.project_id, id)
        return {"load_balancer": (await _shown(connection, [found]))[0]}


@router.put("/load_balancers/{id:one}", responses=failing(NotFound, UniquenessError))
async def update_load_balancer(use: Use, asking: Asking, id: PathId, body: UpdateLoadBalancer) -> LoadBalancerAnswer:
    async with use.pool.connection() as connection:
        found = await KIND.update(connection, asking.project_id, id, body.name, body.labels)
        return {"load_balancer": (await _shown(connection, [found]))[0]}


@router.delete(
    "/load_balancers/{id:one}", status_code=201, response_model=ActionAnswer, responses=failing(NotFound, Protected)
)
async def delete_load_balancer(changing: Changing, id: PathId) -> Response:
    """Its addresses come to rest, and it leaves its network. Older clients pass over the action."""
    return await changing.act(
        "delete_load_balancer",
        Resource("load_balancer", id),
        lambda c: load_balancers.delete(c, changing.project_id, id),
    )


@router.get(
    "/load_balancers/{id}/metrics",
    status_code=UnsupportedError.status,
    responses=failing(NotFound, UnsupportedError),
)
async def get_metrics(
    use: Use,
    asking: Asking,
    id: PathId,
    type: Annotated[list[str], Query()],
    start: datetime,
    end: datetime,
    step: Annotated[float | None, Query(gt=0)] = None,
) -> None:
    """Always `unsupported_error`: nothing is measured."""
    async with use.pool.connection() as connection:
        await KIND.get(connection, asking.project_id, id)
    asked = [one for part in type for one in part.split(",")]
    if unknown := [one for one in asked if one not in METRICS]:
        raise InvalidInput.field("type", f"{unknown[0]!r} is none of {', '.join(METRICS)}")
    raise UnsupportedError("load balancers are not measured by this installation")


async def _shown(connection: Connection, found: Sequence[LoadBalancer]) -> list[LoadBalancerWire]:
    types, places = await load_balancer_types(connection), await locations(connection)
    resolved = await edge_plans.resolve(connection, found)
    health = await load_balancer_health.of(connection, [one.id for one in found])
    return [load_balancer_wire(one, types, places, resolved[one.id], health) for one in found]
