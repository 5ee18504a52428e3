"""/images: what servers are made of."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer
from api.schemas.fields import ChangeProtection
from api.schemas.images import ImageAnswer, ImagesAnswer, UpdateImage, image_wire
from api.services import Asking, Use
from infra.db import images
from infra.db.images import Architecture, ImageChange, ImageFilter, ImageType
from infra.domain.changes import Resource
from infra.domain.errors import Forbidden, NotFound
from infra.domain.labels import parse_selector
from infra.domain.refusals import Protected

router = APIRouter(tags=["images"])

STATUSES = ("available", "creating", "unavailable")
ServerId = Annotated[int, Query(ge=1, lt=2**63)]


@router.get("/images")
async def list_images(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    type: Annotated[list[ImageType] | None, Query()] = None,
    status: Annotated[list[str] | None, Query()] = None,
    architecture: Annotated[list[Architecture] | None, Query()] = None,
    bound_to: Annotated[list[ServerId] | None, Query()] = None,
    include_deprecated: bool = False,
    label_selector: str = "",
) -> ImagesAnswer:
    """System images, and the project's own. A ``status`` that is none is passed over: one client sends its page size
    there."""
    wanted = ImageFilter(
        asking.project_id,
        name=name,
        types=tuple(type or ()),
        statuses=tuple(one for one in status or () if one in STATUSES),
        architectures=tuple(architecture or ()),
        bound_to=tuple(bound_to or ()),
        include_deprecated=include_deprecated,
        labels=parse_selector(label_selector),
    )
    async with use.pool.connection() as connection:
        found = await images.find_all(connection, wanted, page)
    return {"images": [image_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/images/{id:one}", responses=failing(NotFound))
async def get_image(use: Use, asking: Asking, id: PathId) -> ImageAnswer:
    """Deprecated ones too, and builds that a newer one has taken the name of."""
    async with use.pool.connection() as connection:
        return {"image": image_wire(await images.get(connection, asking.project_id, id))}


@router.put("/images/{id:one}", responses=failing(NotFound, Forbidden))
async def update_image(use: Use, asking: Asking, id: PathId, body: UpdateImage) -> ImageAnswer:
    """Of snapshots and backups only. A backup that becomes a snapshot is no longer bound to its server."""
    change = ImageChange(body.description, body.labels, to_snapshot=body.type is not None)
    async with use.pool.connection() as connection:
        return {"image": image_wire(await images.update(connection, asking.project_id, id, change))}


@router.delete("/images/{id:one}", status_code=204, responses=failing(NotFound, Forbidden, Protected))
async def delete_image(use: Use, asking: Asking, id: PathId) -> None:
    """Snapshots and backups only. Servers that were made from it still show it."""
    async with use.pool.connection() as connection:
        await images.delete(connection, asking.project_id, id)


@router.post(
    "/images/{id}/actions/change_protection",
    status_code=201,
    response_model=ActionAnswer,
    responses=failing(NotFound, Forbidden),
)
async def change_image_protection(changing: Changing, id: PathId, body: ChangeProtection) -> Response:
    """Of snapshots only: a protected one cannot be deleted."""
    return await changing.act(
        "change_protection",
        Resource("image", id),
        lambda connection: images.protect(connection, changing.project_id, id, body.delete),
        body,
    )
