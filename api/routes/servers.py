"""/servers: create, list, show, change, delete."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from api.changes import ChangingAlong
from api.creation import Creation
from api.documented import failing
from api.idempotency import key_of
from api.pagination import Page, meta
from api.patience import seconds_to_wait
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, action_wire
from api.schemas.servers import (
    CreatedServer,
    CreateServer,
    ServerAnswer,
    ServersAnswer,
    UpdateServer,
)
from api.services import Asking, Use
from api.shown_servers import shown
from infra.db import actions, orders, relabelling, servers
from infra.db.pool import Connection
from infra.db.servers import STATUSES, ServerFilter
from infra.domain.errors import (
    Conflict,
    InvalidInput,
    Locked,
    NotFound,
    QuotaExceeded,
    ResourceUnavailable,
    Unavailable,
    UniquenessError,
)
from infra.domain.labels import parse_selector
from infra.domain.refusals import (
    IpNotAvailable,
    NoSubnetAvailable,
    PlacementError,
    PrimaryIpAssigned,
    PrimaryIpDatacenterMismatch,
    PrimaryIpVersionMismatch,
    Protected,
)

log = logging.getLogger(__name__)
router = APIRouter(tags=["servers"])


@router.post(
    "/servers",
    status_code=201,
    response_model=CreatedServer,
    responses=failing(
        UniquenessError,
        Conflict,
        QuotaExceeded,
        ResourceUnavailable,
        PrimaryIpAssigned,
        PrimaryIpDatacenterMismatch,
        PrimaryIpVersionMismatch,
        PlacementError,
        IpNotAvailable,
        NoSubnetAvailable,
    ),
)
async def create_server(
    use: Use,
    asking: Asking,
    body: CreateServer,
    idempotency_key: Annotated[str | None, Header()] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> Response:
    """Answers when the order is admitted, addresses included; with ``Prefer: wait=N`` when the server runs.

    Without ``networks`` the server joins the project's network ``default``, which is made with the first one that
    does, unless the project has that turned off; with an empty list it joins none.
    """
    key = key_of(idempotency_key, asking.project_id, "POST /servers", body)
    wait = seconds_to_wait(prefer)
    answer = await Creation(use, asking, body, key, wait).answer()
    headers = {"Preference-Applied": f"wait={wait}"} if wait else None
    return Response(answer.body, answer.status, headers, media_type="application/json")


@router.get("/servers")
async def list_servers(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    status: Annotated[list[str] | None, Query()] = None,
    label_selector: str = "",
) -> ServersAnswer:
    if unknown := [one for one in status or () if one not in STATUSES]:
        raise InvalidInput.field("status", f"{unknown[0]!r} is none of {', '.join(STATUSES)}")
    wanted = ServerFilter(asking.project_id, name, tuple(status or ()), parse_selector(label_selector))
    async with use.pool.connection() as connection:
        found = await servers.find_all(connection, wanted, page)
        return {"servers": await shown(connection, found.items), "meta": meta(page, found.total)}


@router.get("/servers/{id:one}", responses=failing(NotFound))
async def get_server(use: Use, asking: Asking, id: PathId) -> ServerAnswer:
    async with use.pool.connection() as connection:
        server = await servers.get(connection, asking.project_id, id)
        return {"server": (await shown(connection, [server]))[0]}


@router.put("/servers/{id:one}", responses=failing(NotFound, UniquenessError, Locked))
async def update_server(changing: ChangingAlong, id: PathId, body: UpdateServer) -> ServerAnswer:
    """Labels at any time, a name only while no action works on the server. Its guest
    learns a new name when it is powered on again. Firewalls and load balancers that select it by its labels come and
    go with them, each by an action of its own."""

    async def make(connection: Connection) -> ServerAnswer:
        server, effects = await relabelling.update(connection, changing.project_id, id, body.name, body.labels)
        for effect in effects:
            await changing.begin(connection, effect.command, *effect.about)
        return {"server": (await shown(connection, [server]))[0]}

    return await changing.along(make)


@router.delete("/servers/{id:one}", responses=failing(NotFound, Protected))
async def delete_server(use: Use, asking: Asking, id: PathId) -> ActionAnswer:
    """From any state, a create under way included. Once accepted it is done, if not now then later."""
    async with use.pool.connection() as connection:
        order = await orders.order_delete(connection, asking.project_id, id, by_owner=True)
        action = await actions.get(connection, asking.project_id, order.action_id)
    try:
        await use.stories.begin_delete(order)
    except Unavailable:
        log.warning("the delete of server %s waits for the sweep", id, exc_info=True)
    return {"action": action_wire(action)}
