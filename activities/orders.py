"""Orders: begin a story that was accepted but never begun, and stop one that its owner gave up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from infra.db import idempotency, orders
from infra.db.pool import Pool
from infra.domain.models import DeleteOrder
from infra.temporal import begin
from infra.temporal.names import provision_id

log = logging.getLogger(__name__)


class Orders:
    def __init__(self, pool: Pool, client: Client, sweep_after: float) -> None:
        """``sweep_after``: seconds an order may wait for its story before the sweep begins it."""
        self._pool = pool
        self._client = client
        self._sweep_after = sweep_after

    @activity.defn
    async def stop_create(self, order: DeleteOrder) -> None:
        """Tell the create to stop and wait until it has ended, however it ends."""
        handle = self._client.get_workflow_handle(provision_id(order.server_id))
        try:
            await handle.signal("abandon")
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return  # it never began, or ended before
            raise
        waiting = asyncio.create_task(self._end_of(handle))
        while not waiting.done():
            activity.heartbeat()
            await asyncio.wait([waiting], timeout=1)
        waiting.result()

    @activity.defn
    async def sweep_orders(self, location: str) -> int:
        """Begin what waits; the number of stories that are under way for it. Keys past their time go as well."""
        async with self._pool.connection() as connection:
            await idempotency.forget_old(connection)
            creates = await orders.waiting_orders(connection, location, self._sweep_after)
            deletes = await orders.waiting_deletes(connection, location, self._sweep_after)
        begun = [await self._begin(begin.begin_provision(self._client, create)) for create in creates]
        begun += [await self._begin(begin.begin_delete(self._client, delete)) for delete in deletes]
        return sum(begun)

    async def _begin(self, beginning: Coroutine[Any, Any, None]) -> bool:
        """One that cannot be begun stands in nobody's way: next time is in ten seconds."""
        try:
            await beginning
        except WorkflowAlreadyStartedError:
            return False
        except RPCError:
            log.exception("a waiting order cannot be begun")
            return False
        return True

    async def _end_of(self, handle: WorkflowHandle[object, object]) -> None:
        with suppress(WorkflowFailureError):
            await handle.result()
        assert (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING
