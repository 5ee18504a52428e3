"""/datacenters: parts of locations. New clients know only locations; older ones read these."""

from __future__ import annotations

from fastapi import APIRouter

from api.documented import failing
from api.pagination import Page, cut, meta
from api.references import with_id
from api.routes.paths import PathId
from api.schemas.datacenters import DatacenterAnswer, DatacentersAnswer, datacenter_wire
from api.services import Use
from infra.db.locations import Datacenter, Location, locations, preferred
from infra.db.server_types import server_types
from infra.domain.errors import NotFound

router = APIRouter(tags=["datacenters"])


@router.get("/datacenters")
async def list_datacenters(use: Use, page: Page, name: str | None = None) -> DatacentersAnswer:
    """``recommendation``: the datacenter of the location that orders go to which name none."""
    async with use.pool.connection() as connection:
        types, places = await server_types(connection), await locations(connection)
    found = {one.id: (one, place) for place in places for one in place.datacenters if name in (None, one.name)}
    shown = cut([datacenter for datacenter, _ in found.values()], page)
    best = preferred(places, use.settings.location)
    return {
        "datacenters": [datacenter_wire(*found[one.id], types) for one in shown],
        "recommendation": best.datacenters[0].id if best and best.datacenters else 0,
        "meta": meta(page, len(found)),
    }


@router.get("/datacenters/{id}", responses=failing(NotFound))
async def get_datacenter(use: Use, id: PathId) -> DatacenterAnswer:
    async with use.pool.connection() as connection:
        types, places = await server_types(connection), await locations(connection)
    datacenter, place = _with_id(id, places)
    return {"datacenter": datacenter_wire(datacenter, place, types)}


def _with_id(id: int, places: list[Location]) -> tuple[Datacenter, Location]:
    for place in places:
        if found := with_id(id, place.datacenters):
            return found, place
    raise NotFound.of("datacenter", id)
