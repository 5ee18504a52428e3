"""/primary_ips: public addresses that outlast servers, and what they are assigned to."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.choices import choose_location, offer_of
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, action_wire
from api.schemas.dns_ptr import ChangeDnsPtr
from api.schemas.fields import ChangeProtection
from api.schemas.primary_ips import (
    AssignPrimaryIp,
    CreatedPrimaryIp,
    CreatePrimaryIp,
    PrimaryIpAnswer,
    PrimaryIpsAnswer,
    PrimaryIpWire,
    UpdatePrimaryIp,
    primary_ip_wire,
)
from api.services import Asking, Services, Use
from infra.db import primary_ips, servers
from infra.db.locations import locations
from infra.db.named import Wanted
from infra.db.pool import Connection
from infra.db.primary_ips import KIND, NewPrimaryIp, PrimaryIp
from infra.db.server_types import server_types
from infra.domain.changes import Resource
from infra.domain.errors import (
    InvalidInput,
    Locked,
    NotFound,
    Problems,
    QuotaExceeded,
    ResourceUnavailable,
    UniquenessError,
)
from infra.domain.labels import parse_selector
from infra.domain.refusals import (
    MustBeUnassigned,
    PrimaryIpAlreadyAssigned,
    Protected,
    ServerHasIpv4,
    ServerHasIpv6,
    ServerIsLoadBalancerTarget,
    ServerNotStopped,
)

router = APIRouter(tags=["primary_ips"])

ASSIGNING = (ServerNotStopped, ServerHasIpv4, ServerHasIpv6, Locked)


@router.post(
    "/primary_ips",
    status_code=201,
    response_model=CreatedPrimaryIp,
    responses=failing(UniquenessError, QuotaExceeded, ResourceUnavailable, *ASSIGNING),
)
async def create_primary_ip(use: Use, changing: Changing, body: CreatePrimaryIp) -> Response:
    """An address of the location's pool, kept until it is deleted; assigned at once where a server is named."""

    async def make(connection: Connection) -> dict[str, Any]:
        await primary_ips.keep_room(connection, changing.project_id, use.settings.primary_ips_per_project)
        new = await _new(connection, use, changing.project_id, body)
        id = await primary_ips.create(connection, new, use.settings.address_rest)
        action = None
        if body.assignee_id is not None:
            await primary_ips.assign(connection, changing.project_id, id, body.assignee_id)
            action = await _moves(changing, connection, "assign_primary_ip", id, body.assignee_id, new.location)
        made = await KIND.get(connection, changing.project_id, id)
        shown = (await _shown(connection, [made]))[0]
        return {"primary_ip": shown, "action": action_wire(action) if action else None}

    return await changing.once(make, body)


@router.get("/primary_ips")
async def list_primary_ips(
    use: Use, asking: Asking, page: Page, name: str | None = None, ip: str | None = None, label_selector: str = ""
) -> PrimaryIpsAnswer:
    """``ip``: the address as it is shown, an IPv6 network also without its /64."""
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector))
    async with use.pool.connection() as connection:
        found = await primary_ips.find_all(connection, wanted, ip, page)
        return {"primary_ips": await _shown(connection, found.items), "meta": meta(page, found.total)}


@router.get("/primary_ips/{id:one}", responses=failing(NotFound))
async def get_primary_ip(use: Use, asking: Asking, id: PathId) -> PrimaryIpAnswer:
    async with use.pool.connection() as connection:
        found = await KIND.get(connection, asking.project_id, id)
        return {"primary_ip": (await _shown(connection, [found]))[0]}


@router.put("/primary_ips/{id:one}", responses=failing(NotFound, UniquenessError, QuotaExceeded))
async def update_primary_ip(use: Use, asking: Asking, id: PathId, body: UpdatePrimaryIp) -> PrimaryIpAnswer:
    async with use.pool.connection() as connection:
        async with connection.transaction():
            if body.auto_delete is False:
                await primary_ips.keep_room(connection, asking.project_id, use.settings.primary_ips_per_project, id)
            found = await primary_ips.update(
                connection, asking.project_id, id, body.name, body.labels, body.auto_delete
            )
        return {"primary_ip": (await _shown(connection, [found]))[0]}


@router.delete("/primary_ips/{id:one}", status_code=204, responses=failing(NotFound, Protected, MustBeUnassigned))
async def delete_primary_ip(use: Use, asking: Asking, id: PathId) -> None:
    """Its address comes to rest, and then back to the pool."""
    async with use.pool.connection() as connection:
        await primary_ips.delete(connection, asking.project_id, id)


@router.post(
    "/primary_ips/{id}/actions/assign",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, PrimaryIpAlreadyAssigned, *ASSIGNING),
)
async def assign_primary_ip(changing: Changing, id: PathId, body: AssignPrimaryIp) -> Response:
    """To a server that is off and has no such address; it has the address when it is started."""

    async def make(connection: Connection) -> dict[str, Any]:
        await primary_ips.assign(connection, changing.project_id, id, body.assignee_id)
        where = (await KIND.get(connection, changing.project_id, id)).location.name
        action = await _moves(changing, connection, "assign_primary_ip", id, body.assignee_id, where)
        return {"action": action_wire(action)}

    return await changing.once(make, body)


@router.post(
    "/primary_ips/{id}/actions/unassign",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, ServerNotStopped, ServerIsLoadBalancerTarget, Locked, QuotaExceeded),
)
async def unassign_primary_ip(use: Use, changing: Changing, id: PathId) -> Response:
    """From its server, which must be off, and to which no load balancer sends by this address."""

    async def make(connection: Connection) -> dict[str, Any]:
        await primary_ips.keep_room(connection, changing.project_id, use.settings.primary_ips_per_project, id)
        server_id = await primary_ips.unassign(connection, changing.project_id, id)
        where = (await KIND.get(connection, changing.project_id, id)).location.name
        action = await _moves(changing, connection, "unassign_primary_ip", id, server_id, where)
        return {"action": action_wire(action)}

    return await changing.once(make)


@router.post(
    "/primary_ips/{id}/actions/change_dns_ptr",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_dns_ptr(changing: Changing, id: PathId, body: ChangeDnsPtr) -> Response:
    """What the address is called. Answered when the action has ended."""
    return await changing.act(
        "change_dns_ptr",
        Resource("primary_ip", id),
        lambda c: primary_ips.set_ptr(c, changing.project_id, id, body.ip, body.dns_ptr),
        body,
    )


@router.post(
    "/primary_ips/{id}/actions/change_protection",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound),
)
async def change_protection(changing: Changing, id: PathId, body: ChangeProtection) -> Response:
    """Whether it is kept from being deleted; one that goes with its server cannot be."""
    return await changing.act(
        "change_protection",
        Resource("primary_ip", id),
        lambda c: primary_ips.protect(c, changing.project_id, id, body.delete),
        body,
    )


async def _moves(
    changing: Changing, connection: Connection, command: str, id: int, server_id: int, location: str
) -> Any:
    about = Resource("primary_ip", id), Resource("server", server_id)
    return await changing.begin(connection, command, *about, location=location, locks_server=True)


async def _new(connection: Connection, use: Services, project_id: int, body: CreatePrimaryIp) -> NewPrimaryIp:
    problems: Problems = []
    if body.assignee_id is not None and (body.location or body.datacenter):
        problems.append(("assignee_id", "cannot be given together with location: it is the server's"))
    offer = await offer_of(connection, use.settings.location)
    location = choose_location(body, offer, problems)
    if body.assignee_id is not None and not problems:
        try:
            location = (await servers.get(connection, project_id, body.assignee_id)).location
        except NotFound:
            problems.append(("assignee_id", f"server {body.assignee_id} does not exist"))
    if problems or location is None:
        raise InvalidInput.fields(problems)
    labels = dict(body.labels)
    return NewPrimaryIp(project_id, body.name, body.type, location.id, location.name, body.auto_delete, labels)


async def _shown(connection: Connection, found: list[PrimaryIp]) -> list[PrimaryIpWire]:
    types, places = await server_types(connection), await locations(connection)
    return [primary_ip_wire(one, types, places) for one in found]
