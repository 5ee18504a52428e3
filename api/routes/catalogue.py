"""/server_types, /locations, /datacenters, /images: what there is to order."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.choices import with_id
from api.pagination import Page, listed, whole
from api.routes.paths import PathId
from api.schemas.catalogue import datacenter_wire, image_wire, location_wire, server_type_wire
from api.services import Asking, Services, Use
from infra.db import catalogue
from infra.db.catalogue import ImageFilter, Location, ServerType
from infra.domain.errors import NotFound
from infra.domain.labels import parse_selector

router = APIRouter(tags=["catalogue"])

IMAGE_STATUSES = ("available", "creating", "unavailable")


@router.get("/server_types")
async def list_server_types(use: Use, page: Page, name: str | None = None) -> dict[str, Any]:
    types, places = await _offer(use)
    return whole("server_types", [server_type_wire(one, places) for one in types if name in (None, one.name)], page)


@router.get("/server_types/{id}")
async def get_server_type(use: Use, id: PathId) -> dict[str, Any]:
    types, places = await _offer(use)
    if (found := with_id(id, types)) is None:
        raise NotFound(f"server type with ID '{id}' not found")
    return {"server_type": server_type_wire(found, places)}


@router.get("/locations")
async def list_locations(use: Use, page: Page, name: str | None = None) -> dict[str, Any]:
    _, places = await _offer(use)
    return whole("locations", [location_wire(one) for one in places if name in (None, one.name)], page)


@router.get("/locations/{id}")
async def get_location(use: Use, id: PathId) -> dict[str, Any]:
    _, places = await _offer(use)
    if (found := with_id(id, places)) is None:
        raise NotFound(f"location with ID '{id}' not found")
    return {"location": location_wire(found)}


@router.get("/datacenters")
async def list_datacenters(use: Use, page: Page, name: str | None = None) -> dict[str, Any]:
    types, places = await _offer(use)
    datacenters = [datacenter_wire(one, types) for one in places]
    shown = whole("datacenters", [one for one in datacenters if name in (None, one["name"])], page)
    return {**shown, "recommendation": places[0].id if places else 0}


@router.get("/datacenters/{id}")
async def get_datacenter(use: Use, id: PathId) -> dict[str, Any]:
    types, places = await _offer(use)
    if (found := with_id(id, places)) is None:
        raise NotFound(f"datacenter with ID '{id}' not found")
    return {"datacenter": datacenter_wire(found, types)}


@router.get("/images")
async def list_images(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    type: Annotated[list[str] | None, Query()] = None,
    status: Annotated[list[str] | None, Query()] = None,
    architecture: Annotated[list[str] | None, Query()] = None,
    include_deprecated: bool = False,
    label_selector: str = "",
) -> dict[str, Any]:
    """A ``status`` that is none is passed over: one client sends its page size there."""
    wanted = ImageFilter(
        asking.project_id,
        name=name,
        types=tuple(type or ()),
        statuses=tuple(one for one in status or () if one in IMAGE_STATUSES),
        architectures=tuple(architecture or ()),
        include_deprecated=include_deprecated,
        labels=parse_selector(label_selector),
    )
    async with use.pool.connection() as connection:
        found = await catalogue.images(connection, wanted, page)
    return listed("images", [image_wire(one) for one in found.items], page, found.total)


@router.get("/images/{id}")
async def get_image(use: Use, asking: Asking, id: PathId) -> dict[str, Any]:
    async with use.pool.connection() as connection:
        found = await catalogue.image(connection, asking.project_id, id)
    if found is None:
        raise NotFound(f"image with ID '{id}' not found")
    return {"image": image_wire(found)}


async def _offer(use: Services) -> tuple[list[ServerType], list[Location]]:
    async with use.pool.connection() as connection:
        return await catalogue.server_types(connection), await catalogue.locations(connection)
