"""/isos."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.isos import IsoAnswer, IsosAnswer, iso_wire
from api.services import Use
from infra.db import isos
from infra.db.isos import IsoFilter
from infra.domain.errors import NotFound

router = APIRouter(tags=["isos"])


@router.get("/isos")
async def list_isos(
    use: Use,
    page: Page,
    name: str | None = None,
    architecture: Annotated[list[Literal["x86", "arm"]] | None, Query()] = None,
    include_architecture_wildcard: bool = False,
) -> IsosAnswer:
    """With ``include_architecture_wildcard``, those whose architecture is not known fit each ``architecture``.

    ISOs are listed only: none can be attached to a server yet.
    """
    wanted = IsoFilter(name, tuple(architecture or ()), include_architecture_wildcard)
    async with use.pool.connection() as connection:
        found = await isos.find_all(connection, wanted, page)
    return {"isos": [iso_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/isos/{id}", responses=failing(NotFound))
async def get_iso(use: Use, id: PathId) -> IsoAnswer:
    async with use.pool.connection() as connection:
        return {"iso": iso_wire(await isos.get(connection, id))}
