"""Kinds of resources that the wire knows and this installation does not have (yet).

Their lists are empty, each id is absent, and none can be created; so clients that look, or clean up, go on working.
Of what always fails the document names no success.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def absent(path: str, type: ResourceType, noun: str, actions: Sequence[str]) -> APIRouter:
    """Everything at ``/<path>``. ``noun``: as messages call one of them; ``actions``: what one of them could take."""
    shape: Any = {path: (Nothing, ...), "meta": (Meta, ...)}
    answer = create_model(f"{path.title().replace('_', '')}Answer", **shape)

    def unknown(id: int) -> NotFound:
        return NotFound.of(noun, id)

    async def find(connection: Connection, project_id: int, id: int) -> None:
        raise unknown(id)

    router = APIRouter(tags=[path])

    @router.get(f"/{path}", response_model=answer, summary=f"List {noun}s: there are none")
    async def list_all(asking: Asking, page: Page, name: str | None = None, label_selector: str = "") -> dict[str, Any]:
        return {path: [], "meta": meta(page, 0)}

    @router.post(
        f"/{path}",
        status_code=UnsupportedError.status,
        summary=f"No {noun} can be created",
        responses=failing(UnsupportedError),
    )
    async def create(asking: Asking) -> None:
        raise UnsupportedError(f"{noun}s are not supported by this installation")

    async def one(asking: Asking, id: PathId) -> None:
        raise unknown(id)

    gone: Any = {"status_code": NotFound.status, "responses": failing(NotFound)}
    for method, does in (("GET", "is there"), ("PUT", "can be changed"), ("DELETE", "can be deleted")):
        router.add_api_route(f"/{path}/{{id:one}}", one, methods=[method], summary=f"No {noun} {does}", **gone)
    for action in actions:
        summary = f"No {noun} takes the action {action.replace('_', ' ')}"
        router.add_api_route(f"/{path}/{{id}}/actions/{action}", one, methods=["POST"], summary=summary, **gone)
    whole = APIRouter()
    whole.include_router(action_lists(path, type, find))
    whole.include_router(router)
    return whole
