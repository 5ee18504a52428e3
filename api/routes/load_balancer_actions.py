"""/load_balancers/{id}/actions/...: services, targets, networks and what else changes, followed by their edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import ChangeBooks, Changing
from api.documented import failing
from api.load_balancer_choices import choose_type, target_problems
from api.routes.load_balancers import TARGETING
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer
from api.schemas.dns_ptr import ChangeDnsPtr
from api.schemas.fields import ChangeProtection
from api.schemas.load_balancer_requests import (
    AlgorithmChoice,
    AttachLoadBalancer,
    ChangeLoadBalancerType,
    ChangeService,
    NewService,
    NewTarget,
    ServiceName,
    TargetName,
)
from api.schemas.networks import DetachFromNetwork
from infra.db import load_balancer_services as services
from infra.db import load_balancer_targets as targets
from infra.db import load_balancers, networks
from infra.db.load_balancers import KIND
from infra.db.network_members import Wish
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import InvalidInput, NotFound, PuchifyError, QuotaExceeded
from infra.domain.refusals import (
    InvalidLoadBalancerType,
    IpNotAvailable,
    LoadBalancerAlreadyAttached,
    LoadBalancerNotAttachedToNetwork,
    LoadBalancerTargetNotFound,
    NoSubnetAvailable,
    SourcePortAlreadyUsed,
    TargetsWithoutUsePrivateIp,
)

router = APIRouter(tags=["load_balancers"])

Handler = Callable[..., Awaitable[Response]]


def _action(name: str, *refusals: type[PuchifyError]) -> Callable[[Handler], Handler]:
    """``refusals``: what may keep it from being done, beside that there is no such load balancer."""
    return router.post(
        f"/load_balancers/{{id}}/actions/{name}",
        status_code=201,
        response_model=ActionAnswer,
        responses=failing(NotFound, *refusals),
    )


@_action("add_service", SourcePortAlreadyUsed, QuotaExceeded)
async def add_service(changing: Changing, id: PathId, body: NewService) -> Response:
    """What is not said is as it is by default. A https service that redirects listens on port 80 as well."""
    return await _act(changing, "add_service", id, lambda c: services.add(c, changing.project_id, id, body.sent), body)


@_action("update_service", SourcePortAlreadyUsed, QuotaExceeded)
async def update_service(changing: Changing, id: PathId, body: ChangeService) -> Response:
    """Of the service on ``listen_port``, what is sent."""
    return await _act(
        changing,
        "update_service",
        id,
        lambda c: services.update(c, changing.project_id, id, body.listen_port, body.sent),
        body,
    )


@_action("delete_service")
async def delete_service(changing: Changing, id: PathId, body: ServiceName) -> Response:
    return await _act(
        changing, "delete_service", id, lambda c: services.delete(c, changing.project_id, id, body.listen_port), body
    )


@_action("add_target", *TARGETING)
async def add_target(changing: Changing, id: PathId, body: NewTarget) -> Response:
    """A server or address goes with what it is; a label selector means whatever servers have the labels by then.

    An address is one of the project's primary IPs, or lies in a subnet of the load balancer's network.
    """

    async def change(connection: Connection) -> None:
        await KIND.lock(connection, changing.project_id, id)
        if problems := await target_problems(connection, changing.project_id, {"": body}):
            raise InvalidInput.fields(problems)
        await targets.add(connection, changing.project_id, id, body.named, body.use_private_ip)

    return await _act(changing, "add_target", id, change, body)


@_action("remove_target", LoadBalancerTargetNotFound)
async def remove_target(changing: Changing, id: PathId, body: TargetName) -> Response:
    return await _act(
        changing, "remove_target", id, lambda c: targets.remove(c, changing.project_id, id, body.named), body
    )


@_action("change_algorithm")
async def change_algorithm(changing: Changing, id: PathId, body: AlgorithmChoice) -> Response:
    return await _act(
        changing,
        "change_algorithm",
        id,
        lambda c: load_balancers.change_algorithm(c, changing.project_id, id, body.type),
        body,
    )


@_action("change_type", InvalidLoadBalancerType)
async def change_type(changing: Changing, id: PathId, body: ChangeLoadBalancerType) -> Response:
    """To one that takes what the load balancer has; to the present one is fine."""

    async def change(connection: Connection) -> None:
        found = await KIND.get(connection, changing.project_id, id)
        type = await choose_type(connection, body.load_balancer_type, found.location, found.type.id)
        await load_balancers.change_type(connection, changing.project_id, id, type)

    return await _act(changing, "change_load_balancer_type", id, change, body)


@_action("attach_to_network", LoadBalancerAlreadyAttached, IpNotAvailable, NoSubnetAvailable)
async def attach_to_network(changing: Changing, id: PathId, body: AttachLoadBalancer) -> Response:
    """It can be in one network, and listens there as well, by the address that it has in it."""

    async def change(connection: Connection) -> None:
        await KIND.lock(connection, changing.project_id, id)
        await networks.require(connection, changing.project_id, body.network)
        wish = Wish(body.ip, body.ip_range)
        await load_balancers.attach(connection, changing.project_id, id, body.network, wish)

    return await _act(changing, "attach_to_network", id, change, body, Resource("network", body.network))


@_action("detach_from_network", LoadBalancerNotAttachedToNetwork)
async def detach_from_network(changing: Changing, id: PathId, body: DetachFromNetwork) -> Response:
    """The targets that it reaches in the network go with that."""

    async def change(connection: Connection) -> None:
        await KIND.lock(connection, changing.project_id, id)
        await networks.require(connection, changing.project_id, body.network)
        await load_balancers.detach(connection, changing.project_id, id, body.network)

    return await _act(changing, "detach_from_network", id, change, body, Resource("network", body.network))


@_action("enable_public_interface")
async def enable_public_interface(changing: Changing, id: PathId) -> Response:
    """On already is fine."""
    return await _act(
        changing,
        "enable_public_interface",
        id,
        lambda c: load_balancers.enable_public_interface(c, changing.project_id, id),
    )


@_action("disable_public_interface", LoadBalancerNotAttachedToNetwork, TargetsWithoutUsePrivateIp)
async def disable_public_interface(changing: Changing, id: PathId) -> Response:
    """It keeps its addresses. Off already is fine."""
    return await _act(
        changing,
        "disable_public_interface",
        id,
        lambda c: load_balancers.disable_public_interface(c, changing.project_id, id),
    )


@_action("change_dns_ptr")
async def change_dns_ptr(changing: Changing, id: PathId, body: ChangeDnsPtr) -> Response:
    """What its address is called. Answered when the action has ended."""
    return await _act(
        changing,
        "change_dns_ptr",
        id,
        lambda c: load_balancers.set_ptr(c, changing.project_id, id, body.ip, body.dns_ptr),
        body,
    )


@_action("change_protection")
async def change_protection(changing: Changing, id: PathId, body: ChangeProtection) -> Response:
    return await _act(
        changing, "change_protection", id, lambda c: KIND.protect(c, changing.project_id, id, body.delete), body
    )


async def _act(
    changing: Changing, command: str, id: int, change: ChangeBooks, body: Any = None, *also: Resource
) -> Response:
    return await changing.act(command, [Resource("load_balancer", id), *also], change, body)
