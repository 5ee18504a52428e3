"""/locations: where there is something to order."""

from __future__ import annotations

from fastapi import APIRouter

from api.documented import failing
from api.pagination import Page, cut, meta
from api.references import with_id
from api.routes.paths import PathId
from api.schemas.locations import LocationAnswer, LocationsAnswer, location_wire
from api.services import Use
from infra.db.locations import locations
from infra.domain.errors import NotFound

router = APIRouter(tags=["locations"])


@router.get("/locations")
async def list_locations(use: Use, page: Page, name: str | None = None) -> LocationsAnswer:
    async with use.pool.connection() as connection:
        found = [one for one in await locations(connection) if name in (None, one.name)]
    return {"locations": [location_wire(one) for one in cut(found, page)], "meta": meta(page, len(found))}


@router.get("/locations/{id}", responses=failing(NotFound))
async def get_location(use: Use, id: PathId) -> LocationAnswer:
    async with use.pool.connection() as connection:
        found = with_id(id, await locations(connection))
    if found is None:
        raise NotFound.of("location", id)
    return {"location": location_wire(found)}
