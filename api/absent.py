"""Kinds of resources that the wire knows and this installation does not have (yet).

Their lists are empty, each id is absent, and none can be created; so clients that look, or clean up, go on working.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, create_model

from api.documented import failing
from api.pagination import Meta, Page, meta
from api.routes.action_lists import action_lists
from api.routes.paths import PathId
from api.services import Asking
from infra.db.pool import Connection
from infra.domain.changes import ResourceType
from infra.domain.errors import NotFound
from infra.domain.refusals import UnsupportedError

Nothing = Annotated[list[dict[str, Any]], Field(max_length=0)]


def absent(path: str, type: ResourceType, noun: str) -> APIRouter:
    """Everything at ``/<path>``. ``noun``: as messages call one of them."""
    router = APIRouter(tags=[path])
    shape: Any = {path: (Nothing, ...), "meta": (Meta, ...)}
    answer = create_model(f"{path.title().replace('_', '')}Answer", **shape)

    def unknown(id: int) -> NotFound:
        return NotFound(f"{noun} with ID '{id}' not found")

    async def find(connection: Connection, project_id: int, id: int) -> None:
        raise unknown(id)

    router.include_router(action_lists(path, type, find))

    @router.get(f"/{path}", response_model=answer, summary=f"List {noun}s: there are none")
    async def list_all(asking: Asking, page: Page, name: str | None = None, label_selector: str = "") -> dict[str, Any]:
        return {path: [], "meta": meta(page, 0)}

    @router.post(f"/{path}", status_code=201, summary=f"No {noun} can be created", responses=failing(UnsupportedError))
    async def create(asking: Asking) -> None:
        raise UnsupportedError(f"{noun}s are not supported by this installation")

    @router.post(f"/{path}/{{id}}/actions/{{action}}", status_code=201, responses=failing(NotFound))
    async def act(asking: Asking, id: PathId, action: str) -> None:
        raise unknown(id)

    for method in ("GET", "PUT", "DELETE"):
        router.add_api_route(
            f"/{path}/{{id}}",
            _raising(unknown),
            methods=[method],
            name=f"{method.lower()}_{type}",
            responses=failing(NotFound),
        )
    return router


def _raising(unknown: Any) -> Any:
    async def one(asking: Asking, id: PathId) -> None:
        raise unknown(id)

    return one
