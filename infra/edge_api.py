"""The internal endpoints as an edge sees them: its plan and its report. It shows its edge key with each call."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from infra.config import Settings
from infra.domain.edge_plan import EdgePlan, Health, Served
from infra.domain.edge_reports import health_parts
from infra.domain.errors import HostUnavailable, Unavailable
from infra.trust import trust_of

log = logging.getLogger(__name__)

_PLAN = TypeAdapter(EdgePlan)
MOST_PROBLEMS = 200
LONGEST = 1000  # characters of a problem


class EdgeApi:
    def __init__(self, client: httpx.AsyncClient, edge_id: int) -> None:
        self._client = client
        self._edge_id = edge_id

    async def plan(self) -> EdgePlan:
        """What is to be served by now. HostUnavailable: the books do not know this edge. Unavailable."""
        reply = await self._call("GET", "plan")
        try:
            return _PLAN.validate_json(reply.content)
        except ValidationError:  # its text would tell the keys
            raise Unavailable("the service and the edge do not understand each other; try again") from None

    async def report(self, served: Served) -> str:
        """It lives. The digest of what is to be served by now. HostUnavailable, Unavailable as above."""
        told = {"digest": served.digest, "problems": [problem[:LONGEST] for problem in _shortened(served.problems)]}
        return str((await self._call("POST", "report", json=told)).json()["digest"])

    async def tell_health(self, health: Sequence[Health]) -> None:
        """All of it, in as many parts as that takes: the books forget what is in none. HostUnavailable, Unavailable."""
        for part in health_parts(health):
            told = {"after": part.after, "upto": part.upto, "health": [asdict(one) for one in part.health]}
            await self._call("POST", "health", json=told)

    async def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            reply = await self._client.request(method, f"/internal/v1/edges/{self._edge_id}/{path}", **request)
        except httpx.TransportError as cause:
            raise Unavailable("a part of the service does not answer; try again") from cause
        if reply.status_code in (401, 403, 404):
            log.error("edge %s is refused: it was removed from the books, or has another key there", self._edge_id)
            raise HostUnavailable("the edge is not in service; try again")
        if reply.is_error:
            log.error("%s %s is answered %s", method, path, reply.status_code)
            raise Unavailable("a part of the service does not answer; try again")
        return reply


@asynccontextmanager
async def open_edge_api(settings: Settings) -> AsyncIterator[EdgeApi]:
    headers = {"Authorization": f"Bearer {settings.edge_key}"}
    async with httpx.AsyncClient(
        base_url=settings.internal_url, headers=headers, timeout=5, verify=trust_of(settings)
    ) as client:
        yield EdgeApi(client, settings.edge_id)


def _shortened(problems: Sequence[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
