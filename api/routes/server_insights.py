"""/servers/{id}/placement and /timeline: why a server is where it is, and what was done to it, step by step."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import action_wire
from api.schemas.server_placement import PlacementAnswer, placement_wire
from api.schemas.timelines import ActionTimeline, ServerTimelineAnswer
from api.services import Asking, Services, Use
from api.timelines import steps_of
from infra.db import actions, claims, servers
from infra.db.actions import Action, ActionFilter
from infra.domain.changes import Resource
from infra.domain.errors import NotFound

router = APIRouter(tags=["Puchify extensions"], responses=failing(NotFound))


@router.get("/servers/{id}/placement")
async def get_placement(use: Use, asking: Asking, id: PathId) -> PlacementAnswer:
    """The decision that chose its host: how many hosts each filter dropped, and how the best ones scored. Hosts are not
    named."""
    async with use.pool.connection() as connection:
        await servers.get(connection, asking.project_id, id)
        placed = await claims.placed(connection, id)
    return {"placement": placement_wire(placed) if placed else None}


@router.get("/servers/{id}/timeline")
async def get_server_timeline(use: Use, asking: Asking, id: PathId, page: Page) -> ServerTimelineAnswer:
    """The steps of its create and of every action since; a create and its start are one story, and have the same."""
    async with use.pool.connection() as connection:
        await servers.get(connection, asking.project_id, id)
        found = await actions.find_all(connection, ActionFilter(asking.project_id, about=Resource("server", id)), page)
    told = await asyncio.gather(*(_told(use, action) for action in found.items))
    return {"timeline": list(told), "meta": meta(page, found.total)}


async def _told(use: Services, action: Action) -> ActionTimeline:
    return {"action": action_wire(action), "steps": await steps_of(use, action)}
