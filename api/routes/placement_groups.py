"""/placement_groups: which servers are to stand on different hosts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.fields import UpdateNamed
from api.schemas.placement_groups import (
    CreatedPlacementGroup,
    CreatePlacementGroup,
    PlacementGroupAnswer,
    PlacementGroupsAnswer,
    placement_group_wire,
)
from api.services import Asking, Use
from infra.db import placement_groups
from infra.db.named import Wanted
from infra.db.placement_groups import KIND
from infra.db.pool import Connection
from infra.domain.errors import NotFound, QuotaExceeded, UniquenessError
from infra.domain.labels import parse_selector
from infra.domain.refusals import ResourceInUse

router = APIRouter(tags=["placement_groups"])


@router.post(
    "/placement_groups",
    status_code=201,
    response_model=CreatedPlacementGroup,
    responses=failing(UniquenessError, QuotaExceeded),
)
async def create_placement_group(changing: Changing, body: CreatePlacementGroup) -> Response:
    """No two of its servers are placed on the same host, and those in one rack are as few as may be."""

    async def make(connection: Connection) -> dict[str, Any]:
        await KIND.keep_room(connection, changing.project_id, changing.services.settings.placement_groups_per_project)
        group = await placement_groups.create(connection, changing.project_id, body.name, body.type, dict(body.labels))
        return {"placement_group": placement_group_wire(group), "action": None}

    return await changing.once(make, body)


@router.get("/placement_groups")
async def list_placement_groups(
    use: Use,
    asking: Asking,
    page: Page,
    name: str | None = None,
    type: Annotated[list[Literal["spread"]] | None, Query()] = None,
    label_selector: str = "",
) -> PlacementGroupsAnswer:
    wanted = Wanted(asking.project_id, name, parse_selector(label_selector), {"type": type})
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
    return {"placement_groups": [placement_group_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/placement_groups/{id}", responses=failing(NotFound))
async def get_placement_group(use: Use, asking: Asking, id: PathId) -> PlacementGroupAnswer:
    async with use.pool.connection() as connection:
        return {"placement_group": placement_group_wire(await KIND.get(connection, asking.project_id, id))}


@router.put("/placement_groups/{id}", responses=failing(NotFound, UniquenessError))
async def update_placement_group(use: Use, asking: Asking, id: PathId, body: UpdateNamed) -> PlacementGroupAnswer:
    async with use.pool.connection() as connection:
        group = await KIND.update(connection, asking.project_id, id, body.name, body.labels)
    return {"placement_group": placement_group_wire(group)}


@router.delete("/placement_groups/{id}", status_code=204, responses=failing(NotFound, ResourceInUse))
async def delete_placement_group(use: Use, asking: Asking, id: PathId) -> None:
    async with use.pool.connection() as connection:
        await placement_groups.delete(connection, asking.project_id, id)
