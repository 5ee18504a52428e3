"""The lists of actions that each type of resource has: of all of them, and of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import ActionId, PathId
from api.schemas.actions import ActionAnswer, ActionListAnswer, action_wire
from api.services import Asking, Services, Use
from infra.db import actions
from infra.db.actions import ActionFilter
from infra.db.listing import Window
from infra.db.pool import Connection
from infra.domain.changes import Resource, ResourceType
from infra.domain.errors import NotFound

STATUSES = ("running", "success", "error")

Ids = Annotated[list[int] | None, Query()]
Status = Annotated[list[str] | None, Query()]
Find = Callable[[Connection, int, int], Awaitable[Any]]
"""(connection, project id, id) -> the resource. NotFound: its list is absent, not empty."""


async def own_id(id: PathId) -> int:
    return id


def action_lists(
    path: str, type: ResourceType, find: Find, key: str = "id", id_of: Callable[..., Any] = own_id
) -> APIRouter:
    """``/networks/actions[/{id}]`` and ``/networks/{id}/actions[/{action_id}]``; to stand before ``/networks/{id}``.

    ``key``: what stands for one of them in the path; ``id_of``: the dependency that finds its id by that.
    """
    router = APIRouter(tags=[path], responses=failing(NotFound))
    all_of_them, one_of_them = path.replace("_", " ").title(), type.replace("_", " ").title()

    @router.get(f"/{path}/actions", summary=f"List Actions Of All {all_of_them}")
    async def list_all(use: Use, asking: Asking, page: Page, id: Ids = None, status: Status = None) -> ActionListAnswer:
        ids = tuple(id) if id else None
        return await listed_actions(use, ActionFilter(asking.project_id, ids, type, known(status)), page)

    @router.get(f"/{path}/actions/{{id}}", summary=f"Get Action Of Any {one_of_them}")
    async def get_any(use: Use, asking: Asking, id: PathId) -> ActionAnswer:
        async with use.pool.connection() as connection:
            return {"action": action_wire(await actions.get(connection, asking.project_id, id, type))}

    @router.get(f"/{path}/{{{key}}}/actions", summary=f"List Actions Of {one_of_them}")
    async def list_of_one(
        use: Use, asking: Asking, page: Page, id: int = Depends(id_of), status: Status = None
    ) -> ActionListAnswer:
        async with use.pool.connection() as connection:
            await find(connection, asking.project_id, id)
        about = Resource(type, id)
        return await listed_actions(use, ActionFilter(asking.project_id, None, about, known(status)), page)

    @router.get(f"/{path}/{{{key}}}/actions/{{action_id:int}}", summary=f"Get Action Of {one_of_them}", deprecated=True)
    async def get_of_one(use: Use, asking: Asking, action_id: ActionId, id: int = Depends(id_of)) -> ActionAnswer:
        """`GET /actions/{id}` says the same."""
        async with use.pool.connection() as connection:
            found = await actions.get(connection, asking.project_id, action_id, Resource(type, id))
        return {"action": action_wire(found)}

    return router


def known(status: list[str] | None) -> tuple[str, ...]:
    """Clients that wait for actions send what they do not mean; what is no status is passed over."""
    return tuple(one for one in status or () if one in STATUSES)


async def listed_actions(use: Services, wanted: ActionFilter, page: Window) -> ActionListAnswer:
    async with use.pool.connection() as connection:
        found = await actions.find_all(connection, wanted, page)
    return {"actions": [action_wire(action) for action in found.items], "meta": meta(page, found.total)}
