"""/quotas and /quota_requests: what may be taken and what is, and the way to more. An extension of hcloud's wire."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.pagination import Page, meta
from api.routes.paths import PathId
from api.schemas.quotas import (
    CreateQuotaRequest,
    QuotaRequestAnswer,
    QuotaRequestsAnswer,
    QuotasAnswer,
    quota_request_wire,
    quota_wire,
)
from api.services import Asking, Use
from infra.db import limits, quota_requests
from infra.db.named import Wanted
from infra.db.pool import Connection
from infra.db.quota_requests import KIND, State
from infra.domain.errors import NotFound

router = APIRouter(tags=["Puchify extensions"])


@router.get("/quotas")
async def list_quotas(use: Use, asking: Asking) -> QuotasAnswer:
    """The project's and the user's: a server counts in both, from its order on until it is deleted.

    `used` is what servers take, `held` the part of it that servers take whose create is under way: it is given back if
    that fails. Memory and disk are in GB, as in server types.
    """
    async with use.pool.connection() as connection:
        found = await limits.of_owner(connection, asking.user_id, asking.project_id)
    return {"quotas": [quota_wire(one) for one in found]}


@router.post("/quota_requests", status_code=201, response_model=QuotaRequestAnswer)
async def create_quota_request(changing: Changing, body: CreateQuotaRequest) -> Response:
    """Ask for higher limits. Nothing changes until an operator approves; `state` then says so."""

    async def make(connection: Connection) -> dict[str, Any]:
        asked = await quota_requests.ask(connection, changing.caller, body.scope, body.limits, body.reason)
        return {"quota_request": quota_request_wire(asked)}

    return await changing.once(make, body)


@router.get("/quota_requests")
async def list_quota_requests(
    use: Use, asking: Asking, page: Page, state: Annotated[list[State] | None, Query()] = None
) -> QuotaRequestsAnswer:
    """Those that were made with the project's keys, also about their users."""
    wanted = Wanted(asking.project_id, among={"state": state})
    async with use.pool.connection() as connection:
        found = await KIND.find_all(connection, wanted, page)
    return {"quota_requests": [quota_request_wire(one) for one in found.items], "meta": meta(page, found.total)}


@router.get("/quota_requests/{id}", responses=failing(NotFound))
async def get_quota_request(use: Use, asking: Asking, id: PathId) -> QuotaRequestAnswer:
    async with use.pool.connection() as connection:
        return {"quota_request": quota_request_wire(await KIND.get(connection, asking.project_id, id))}
