"""/actions: what is under way and what became of it; kept when the resource is long gone."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter

from api.documented import failing
from api.pagination import MOST, Page
from api.routes.action_lists import Ids, Status, known, listed_actions
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, ActionListAnswer, action_wire
from api.schemas.timelines import TimelineAnswer
from api.services import Asking, Use
from api.timelines import steps_of
from infra.db import actions
from infra.db.actions import ActionFilter
from infra.domain.errors import Deprecated, NotFound

router = APIRouter(tags=["actions"])


@router.get("/actions", responses=failing(Deprecated))
async def list_actions(use: Use, asking: Asking, page: Page, id: Ids = None, status: Status = None) -> ActionListAnswer:
    """Exactly those that are asked for, all on the first page where a page can hold them: clients count on both."""
    if not id:
        raise Deprecated("listing all actions is no longer offered: name them with ?id=, or use /servers/actions")
    ids = tuple(dict.fromkeys(id))
    roomy = replace(page, per_page=min(max(page.per_page, len(ids)), MOST))
    return await listed_actions(use, ActionFilter(asking.project_id, ids=ids, statuses=known(status)), roomy)


@router.get("/actions/{id}", responses=failing(NotFound))
async def get_action(use: Use, asking: Asking, id: PathId) -> ActionAnswer:
    async with use.pool.connection() as connection:
        return {"action": action_wire(await actions.get(connection, asking.project_id, id))}


@router.get("/actions/{id}/timeline", tags=["Puchify extensions"], responses=failing(NotFound))
async def get_timeline(use: Use, asking: Asking, id: PathId) -> TimelineAnswer:
    """The steps of an action with their times: as stored when it is finished, as they are so far when it is not."""
    async with use.pool.connection() as connection:
        action = await actions.get(connection, asking.project_id, id)
    return {"timeline": await steps_of(use, action)}
