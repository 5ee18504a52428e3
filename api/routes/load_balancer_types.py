"""/load_balancer_types: how much of everything a load balancer takes."""

from __future__ import annotations

from fastapi import APIRouter

from api.documented import failing
from api.pagination import Page, cut, meta
from api.references import with_id
from api.routes.paths import PathId
from api.schemas.load_balancer_types import LoadBalancerTypeAnswer, LoadBalancerTypesAnswer, load_balancer_type_wire
from api.services import Use
from infra.db.load_balancer_types import load_balancer_types
from infra.db.locations import locations
from infra.domain.errors import NotFound

router = APIRouter(tags=["load_balancer_types"])


@router.get("/load_balancer_types")
async def list_load_balancer_types(use: Use, page: Page, name: str | None = None) -> LoadBalancerTypesAnswer:
    async with use.pool.connection() as connection:
        types, places = await load_balancer_types(connection), await locations(connection)
    found = [one for one in types if name in (None, one.name)]
    shown = [load_balancer_type_wire(one, places) for one in cut(found, page)]
    return {"load_balancer_types": shown, "meta": meta(page, len(found))}


@router.get("/load_balancer_types/{id}", responses=failing(NotFound))
async def get_load_balancer_type(use: Use, id: PathId) -> LoadBalancerTypeAnswer:
    async with use.pool.connection() as connection:
        types, places = await load_balancer_types(connection), await locations(connection)
    if (found := with_id(id, types)) is None:
        raise NotFound.of("load balancer type", id)
    return {"load_balancer_type": load_balancer_type_wire(found, places)}
