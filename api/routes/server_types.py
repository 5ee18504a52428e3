"""/server_types: the plans that servers are ordered by."""

from __future__ import annotations

from fastapi import APIRouter

from api.documented import failing
from api.pagination import Page, cut, meta
from api.references import with_id
from api.routes.paths import PathId
from api.schemas.server_types import ServerTypeAnswer, ServerTypesAnswer, server_type_wire
from api.services import Use
from infra.db.locations import locations
from infra.db.server_types import server_types
from infra.domain.errors import NotFound

router = APIRouter(tags=["server_types"])


@router.get("/server_types")
async def list_server_types(use: Use, page: Page, name: str | None = None) -> ServerTypesAnswer:
    """Those too that can no longer be ordered: servers of them may live on."""
    async with use.pool.connection() as connection:
        types, places = await server_types(connection), await locations(connection)
    found = [one for one in types if name in (None, one.name)]
    return {"server_types": [server_type_wire(one, places) for one in cut(found, page)], "meta": meta(page, len(found))}


@router.get("/server_types/{id}", responses=failing(NotFound))
async def get_server_type(use: Use, id: PathId) -> ServerTypeAnswer:
    async with use.pool.connection() as connection:
        types, places = await server_types(connection), await locations(connection)
    if (found := with_id(id, types)) is None:
        raise NotFound.of("server type", id)
    return {"server_type": server_type_wire(found, places)}
