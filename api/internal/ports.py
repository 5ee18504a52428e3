"""/internal/v1/hosts/{id}/ports: what a host shall build and guard for its servers, and what it says it guards by now.

A host is told the plans of servers that it holds the newest claim on, and of no others.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api.internal.hosts import Host
from api.schemas.fields import LARGEST_ID, Wire
from api.services import Use
from infra.db import enforced, port_plans
from infra.domain.errors import Conflict, NotFound

LARGEST = 2**31 - 1
MOST_ON_A_PORT = 10_000

router = APIRouter(prefix="/internal/v1/hosts/{id}/ports", tags=["internal"])


class InForce(Wire):
    epoch: Annotated[int, Field(ge=0, le=LARGEST)]
    firewalls: Annotated[list[Annotated[int, Field(ge=1, le=LARGEST_ID)]], Field(max_length=MOST_ON_A_PORT)]


@router.get("")
async def plans(use: Use, host: Host) -> list[dict[str, Any]]:
    """Those of all servers that are to be here."""
    async with use.pool.connection() as connection:
        return [asdict(plan) for plan in await port_plans.plans_of(connection, host)]


@router.get("/{server_id}")
async def plan(use: Use, host: Host, server_id: int, epoch: int) -> dict[str, Any]:
    """404: the claim does not stand (any more)."""
    async with use.pool.connection() as connection:
        found = await port_plans.plan_of(connection, host, server_id, epoch)
    if found is None:
        raise _no_claim(server_id, epoch)
    return asdict(found)


@router.put("/{server_id}/firewalls")
async def in_force(use: Use, host: Host, server_id: int, body: InForce) -> dict[str, Any]:
    """404 as above. 409: it is kept, and others are wanted by now; the host reads the plan again."""
    async with use.pool.connection() as connection:
        wanted = await enforced.tell(connection, host, server_id, body.epoch, body.firewalls)
    if wanted is None:
        raise _no_claim(server_id, body.epoch)
    if not wanted:
        raise Conflict("other firewalls are wanted by now: read the plan again")
    return {}


def _no_claim(server_id: int, epoch: int) -> NotFound:
    return NotFound(f"this host holds no claim on server {server_id} with epoch {epoch}")
