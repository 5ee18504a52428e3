"""Changes of resources: the world follows the books, and then the action says so.

``follow`` is where the data plane of a type of resource will be: it is handed what changed, reads from the books what
it shall come to, and converges on that. A type that has none yet is book-keeping, and the API says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from temporalio import activity

from infra.db import changes, records
from infra.db.pool import Pool
from infra.domain.changes import Change, ResourceType
from infra.domain.models import Machine
from infra.temporal.timeline import Timelines

DataPlane = Callable[[Change], Awaitable[None]]
"""Brings one resource to what the books say; again, late or out of order, it comes to the same."""


class Changes:
    def __init__(self, pool: Pool, timelines: Timelines, planes: Mapping[ResourceType, DataPlane]) -> None:
        self._pool = pool
        self._timelines = timelines
        self._planes = planes

    @activity.defn
    async def follow_change(self, change: Change) -> None:
        if plane := self._planes.get(change.resource.type):
            await plane(change)

    @activity.defn
    async def read_machine(self, change: Change) -> Machine | None:
        """The change's server as its host is to have it by now; None when it is on no host (any more)."""
        async with self._pool.connection() as connection:
            holdings = await records.holdings(connection, change.server_id) if change.server_id else None
        return holdings.machine if holdings else None

    @activity.defn
    async def finish_change(self, change: Change) -> None:
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection:
            await changes.finish(connection, change, timeline)
