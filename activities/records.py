"""Records: how an operation ended, what a server holds, and what a host still has to forget."""

from __future__ import annotations

from temporalio import activity

from infra.db import claims, records
from infra.db.pool import Pool
from infra.domain.models import DeleteOrder, FailedOrder, FinishedOrder, Holdings, Tombstone
from infra.temporal.timeline import Timelines


class Records:
    def __init__(self, pool: Pool, timelines: Timelines) -> None:
        self._pool = pool
        self._timelines = timelines

    @activity.defn
    async def finish(self, finished: FinishedOrder) -> None:
        """The server runs: status, actions, lock, host key and timeline, in one transaction."""
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection, connection.transaction():
            await records.finish(connection, finished, timeline)

    @activity.defn
    async def fail(self, failed: FailedOrder) -> None:
        """The order came to nothing: the action says why, and the server is gone."""
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection, connection.transaction():
            await records.fail(connection, failed, timeline)

    @activity.defn
    async def read_holdings(self, order: DeleteOrder) -> Holdings | None:
        """What the server holds; None when there is no such server any more."""
        async with self._pool.connection() as connection:
            return await records.holdings(connection, order.server_id)

    @activity.defn
    async def finish_delete(self, order: DeleteOrder) -> None:
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection, connection.transaction():
            await records.finish_delete(connection, order, timeline)

    @activity.defn
    async def bury(self, tombstone: Tombstone) -> None:
        """The host does not answer: it forgets the server when it is back."""
        async with self._pool.connection() as connection:
            await claims.bury(connection, tombstone)
