"""/actions: what is under way and what became of it; kept when the server is long gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.pagination import MOST, Page, listed
from api.routes.paths import PathId
from api.schemas.actions import action_wire
from api.services import Asking, Services, Use
from infra.db import actions, servers
from infra.db.actions import ActionFilter
from infra.db.listing import Window
from infra.domain.errors import Deprecated

router = APIRouter(tags=["actions"])

STATUSES = ("running", "success", "error")
Status = Annotated[list[str] | None, Query()]


@router.get("/actions")
async def list_actions(
    use: Use, asking: Asking, page: Page, id: Annotated[list[int] | None, Query()] = None, status: Status = None
) -> dict[str, Any]:
    """Exactly those that are asked for, all on the first page where a page can hold them: clients count on both."""
    if not id:
        raise Deprecated("listing all actions is no longer offered: name them with ?id=, or use /servers/{id}/actions")
    ids = tuple(dict.fromkeys(id))
    roomy = replace(page, per_page=min(max(page.per_page, len(ids)), MOST))
    return await _listed(use, ActionFilter(asking.project_id, ids=ids, statuses=_known(status)), roomy)


@router.get("/actions/{id}")
async def get_action(use: Use, asking: Asking, id: PathId) -> dict[str, Any]:
    async with use.pool.connection() as connection:
        return {"action": action_wire(await actions.get(connection, asking.project_id, id))}


@router.get("/actions/{id}/timeline")
async def get_timeline(use: Use, asking: Asking, id: PathId) -> dict[str, Any]:
    """The steps of an action with their times: as stored when it is finished, as they are so far when it is not."""
    async with use.pool.connection() as connection:
        action = await actions.get(connection, asking.project_id, id)
    if action.timeline or action.finished or not action.workflow_id:
        return {"timeline": action.timeline}
    return {"timeline": await use.stories.timeline(action.workflow_id)}


@router.get("/servers/actions")
async def list_all_server_actions(
    use: Use, asking: Asking, page: Page, id: Annotated[list[int] | None, Query()] = None, status: Status = None
) -> dict[str, Any]:
    return await list_actions(use, asking, page, id, status)


@router.get("/servers/actions/{id}")
async def get_any_server_action(use: Use, asking: Asking, id: PathId) -> dict[str, Any]:
    return await get_action(use, asking, id)


@router.get("/servers/{id}/actions")
async def list_server_actions(
    use: Use, asking: Asking, page: Page, id: PathId, status: Status = None
) -> dict[str, Any]:
    async with use.pool.connection() as connection:
        await servers.get(connection, asking.project_id, id)  # NotFound: its list would be empty, not absent
    return await _listed(use, ActionFilter(asking.project_id, server_id=id, statuses=_known(status)), page)


@router.get("/servers/{id}/actions/{action_id}")
async def get_server_action(use: Use, asking: Asking, id: PathId, action_id: int) -> dict[str, Any]:
    async with use.pool.connection() as connection:
        return {"action": action_wire(await actions.get(connection, asking.project_id, action_id, id))}


def _known(status: list[str] | None) -> tuple[str, ...]:
    """Clients that wait for actions send what they do not mean; what is no status is passed over."""
    return tuple(one for one in status or () if one in STATUSES)


async def _listed(use: Services, wanted: ActionFilter, page: Window) -> dict[str, Any]:
    async with use.pool.connection() as connection:
        found = await actions.find_all(connection, wanted, page)
    return listed("actions", [action_wire(action) for action in found.items], page, found.total)
