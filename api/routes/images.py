"""/images: what servers are made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, action_wire
from api.schemas.fields import ChangeProtection
from api.schemas.images import (
    CreatedImage,
    CreateImage,
    ImageAnswer,
    ImagesAnswer,
    UpdateImage,
    image_wire,
    upload_wire,
)
from api.services import Asking, Use
from infra.db import image_imports, images
from infra.db.image_imports import NewImport, Room
from infra.db.images import Architecture, ImageChange, ImageFilter, ImageType
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import Forbidden, InvalidInput, NotFound, QuotaExceeded, Unavailable, UniquenessError
from infra.domain.imports import CREATE_IMAGE
from infra.domain.labels import parse_selector
from infra.domain.refusals import Protected, ResourceInUse

log = logging.getLogger(__name__)

router = APIRouter(tags=["images"])

STATUSES = ("available", "creating", "unavailable")
ServerId = Annotated[int, Query(ge=1, lt=2**63)]


@router.post(
    "/images",
    status_code=201,
    response_model=CreatedImage,
    responses=failing(UniquenessError, QuotaExceeded),
    tags=["Puchify extensions"],
)
async def create_image(changing: Changing, body: CreateImage) -> Response:
    """An image of one's own, out of a qcow2, raw or VMDK file: uploaded to ``upload.url``, or fetched from
    ``source_url``. Its action ends when servers can be made of it; one that fails leaves no image."""
    new = NewImport(
        changing.project_id,
        body.name,
        body.description,
        dict(body.labels),
        body.architecture,
        *(body.sha256, body.size, body.format, body.source_url),
    )

    settings = changing.services.settings
    room = Room(settings.images_at_once, settings.images_per_project, settings.image_gb_per_project)

    async def make(connection: Connection) -> dict[str, Any]:
        largest = await image_imports.largest(connection)
        if body.size is not None and body.size > largest:
            raise InvalidInput.field("size", f"must be at most {largest}: no server type has a larger disk")
        await image_imports.keep_room(connection, changing.project_id, room, body.size)
        id = await image_imports.make_image(connection, new)
        action = await changing.begin(connection, CREATE_IMAGE, Resource("image", id))
        await image_imports.make_import(connection, id, action.id, new)
        made = await image_imports.get(connection, changing.project_id, id)
        return {
            "image": image_wire(await images.get(connection, changing.project_id, id)),
            "action": action_wire(action),
            "upload": None if body.source_url else upload_wire(made, largest),
        }

    async def look(connection: Connection, told: Mapping[str, Any]) -> dict[str, Any]:
        """As it is after the wait. What is not under way any more has no upload."""
        id, now = told["image"]["id"], dict[str, Any](upload=None)
        with suppress(NotFound):
            now["image"] = image_wire(await images.get(connection, changing.project_id, id))
            under_way = await image_imports.get(connection, changing.project_id, id)
            if told["upload"]:
                now["upload"] = upload_wire(under_way, await image_imports.largest(connection))
        return now

    return await changing.once(make, body, look=look)


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


@router.delete("/images/{id:one}", status_code=204, responses=failing(NotFound, Forbidden, Protected, ResourceInUse))
async def delete_image(use: Use, asking: Asking, id: PathId) -> None:
    """Snapshots and backups only. Servers that were made from it still show it; while one is being made, it stays. One
    that is ``creating`` is given up, and its action fails."""
    async with use.pool.connection() as connection:
        was_creating = await images.delete(connection, asking.project_id, id)
    if was_creating:
        try:
            await use.stories.tell_import(id, "abandon")
        except Unavailable:
            log.warning("the import of image %s was not told that it is deleted: it looks by itself", id, exc_info=True)


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
