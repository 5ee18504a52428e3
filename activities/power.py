"""Power: how a command ended, in the books."""

from __future__ import annotations

from temporalio import activity

from infra.db import power
from infra.db.pool import Pool
from infra.domain.power import Powered
from infra.temporal.timeline import Timelines


class Power:
    def __init__(self, pool: Pool, timelines: Timelines) -> None:
        self._pool = pool
        self._timelines = timelines

    @activity.defn
    async def finish_power(self, powered: Powered) -> None:
        timeline = await self._timelines.of(activity.info().workflow_id or "")
        async with self._pool.connection() as connection:
            await power.finish(connection, powered, timeline)

    @activity.defn
    async def settle_power(self, powered: Powered) -> None:
        async with self._pool.connection() as connection:
            await power.settle(connection, powered)
