"""/internal/v1/edges: what an edge shall serve, with the certificates' keys, and what it says of itself.

An edge acts for itself only, and reads the keys of what it serves now.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.responses import Response
from pydantic import Field

from api.auth import bearer
from api.routes.paths import PathId
from api.schemas.fields import LARGEST_ID, Wire
from api.services import Use
from infra.db import edge_plans, edges, load_balancer_health
from infra.domain.edge_plan import Health, HealthStatus, Served
from infra.domain.edge_reports import HealthPart
from infra.domain.errors import Forbidden, Unauthorized

MOST_BACKENDS = 10_000
"""Of a part; the body limit is less."""
MOST_PROBLEMS = 1_000
LONGEST = 1024  # characters of a problem


class HealthReport(Wire):
    """infra.domain.edge_plan.Health."""

    load_balancer_id: Annotated[int, Field(ge=1, le=LARGEST_ID)]
    listen_port: Annotated[int, Field(ge=1, le=65535)]
    address: Annotated[str, Field(max_length=64)]
    by_network: bool
    status: HealthStatus


class Report(Wire):
    """``digest``: of the plan that it serves; ``problems``: what of it is left out there."""

    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    problems: Annotated[
        list[Annotated[str, Field(max_length=LONGEST, pattern=r"^[^\x00]*$")]], Field(max_length=MOST_PROBLEMS)
    ]


MarkWire = Annotated[list[Annotated[int, Field(ge=0, le=2**53)]], Field(min_length=2, max_length=2)]


class HealthPartReport(Wire):
    """infra.domain.edge_reports.HealthPart."""

    after: MarkWire
    upto: MarkWire
    health: Annotated[list[HealthReport], Field(max_length=MOST_BACKENDS)]

    @property
    def part(self) -> HealthPart:
        (after, upto), told = [(one[0], one[1]) for one in (self.after, self.upto)], self.health
        return HealthPart(after, upto, tuple(Health(**one.model_dump()) for one in told))


async def itself(use: Use, id: PathId, authorization: Annotated[str | None, Header()] = None) -> int:
    """Unauthorized: no edge's key. Forbidden: another edge's."""
    digest = use.authenticator.digest_of(bearer(authorization))
    async with use.pool.connection() as connection:
        edge_id = await edges.edge_of_key(connection, digest)
    if edge_id is None:
        raise Unauthorized("the edge key is not valid")
    if edge_id != id:
        raise Forbidden("the edge key is another edge's")
    return edge_id


Edge = Annotated[int, Depends(itself)]
router = APIRouter(prefix="/internal/v1/edges/{id}", tags=["internal"])


@router.get("/plan")
async def plan(use: Use, edge: Edge) -> Response:
    """Of one moment."""
    async with use.pool.connection() as connection:
        found = await edge_plans.plan_of(connection, edge)
    text = await asyncio.to_thread(lambda: json.dumps(asdict(found), separators=(",", ":")))
    return Response(text, media_type="application/json")


@router.post("/report")
async def report(use: Use, edge: Edge, body: Report) -> dict[str, Any]:
    """It lives. The answer is the digest of what it shall serve by now: another than its own, and it reads the plan."""
    async with use.pool.connection() as connection:
        await edges.hear(connection, edge, Served(body.digest, tuple(body.problems)))
    async with use.pool.connection() as connection:  # whatever becomes of the plan, it was heard
        plan = await edge_plans.plan_of(connection, edge)
        wanted = await asyncio.to_thread(lambda: plan.digest)  # a full edge's takes long, and others wait
        await edges.compare(connection, edge, wanted == body.digest)
    return {"digest": wanted}


@router.post("/health", status_code=204)
async def health(use: Use, edge: Edge, body: HealthPartReport) -> None:
    """How its targets do; apart from the word that it lives, which is not to wait for so much."""
    async with use.pool.connection() as connection:
        await load_balancer_health.keep(connection, edge, body.part)
