"""The internal endpoints as an edge sees them: its plan and its report. It shows its edge key with each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

import httpx
from pydantic import TypeAdapter

from infra.config import Settings
from infra.domain.edge_plan import EdgePlan, Health, Served
from infra.domain.edge_reports import health_parts
from infra.internal_calls import InternalCalls, open_client

_PLAN = TypeAdapter(EdgePlan)
MOST_PROBLEMS = 200
LONGEST = 1000  # characters of a problem


class EdgeApi:
    def __init__(self, client: httpx.AsyncClient, edge_id: int) -> None:
        self._api = InternalCalls(client, "edge", edge_id)

    async def plan(self) -> EdgePlan:
        """What is to be served by now. HostUnavailable: the books do not know this edge. Unavailable."""
        return self._api.secret(_PLAN, await self._api.call("GET", "plan"))

    async def report(self, served: Served) -> str:
        """It lives. The digest of what is to be served by now. HostUnavailable, Unavailable as above."""
        told = {"digest": served.digest, "problems": [problem[:LONGEST] for problem in _shortened(served.problems)]}
        return str((await self._api.call("POST", "report", json=told)).json()["digest"])

    async def tell_health(self, health: Sequence[Health]) -> None:
        """All of it, in as many parts as that takes: the books forget what is in none. HostUnavailable, Unavailable."""
        for part in health_parts(health):
            told = {"after": part.after, "upto": part.upto, "health": [asdict(one) for one in part.health]}
            await self._api.call("POST", "health", json=told)


@asynccontextmanager
async def open_edge_api(settings: Settings) -> AsyncIterator[EdgeApi]:
    async with open_client(settings, settings.edge_key) as client:
        yield EdgeApi(client, settings.edge_id)


def _shortened(problems: Sequence[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
