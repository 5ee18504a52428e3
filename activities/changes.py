"""Changes of resources: the world follows the books, and then the action says so.

What the region itself has to bring about is a data plane's: it is handed what changed, reads from the books what that
shall come to, and converges on it. Whose ports and which edges follow is read here, and done where they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from temporalio import activity

from infra.db import affected, changes, records
from infra.db.pool import Connection, Pool
from infra.domain.changes import Affected, Change, Look, ResourceType
from infra.domain.models import Machine
from infra.temporal.timeline import Timelines

DataPlane = Callable[[Change], Awaitable[None]]
"""Brings one resource to what the books say; again, late or out of order, it comes to the same."""


EdgesOf = Callable[[Connection, Change], Awaitable[tuple[int, ...]]]
"""The ids of the edges that a change is about."""


async def no_edges(connection: Connection, change: Change) -> tuple[int, ...]:
    return ()


class Changes:
    def __init__(
        self,
        pool: Pool,
        timelines: Timelines,
        planes: Mapping[ResourceType, DataPlane],
        edges_of: EdgesOf = no_edges,
    ) -> None:
        self._pool = pool
        self._timelines = timelines
        self._planes = planes
        self._edges_of = edges_of

    @activity.defn
    async def follow_change(self, change: Change) -> None:
        if plane := self._planes.get(change.resource.type):
            await plane(change)

    @activity.defn
    async def read_affected(self, look: Look) -> Affected:
        """A page of the servers whose ports follow, as their hosts are to have them by now; and the edges."""
        async with self._pool.connection() as connection:
            machines, last = await affected.machines(connection, look)
            return Affected(machines, await self._edges_of(connection, look.change), last)

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
