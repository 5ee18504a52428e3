"""Orders: begin a story that was accepted but never begun, and stop one that its owner gave up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from infra.db import changes, idempotency, orders, placement_inputs
from infra.db.pool import Pool
from infra.domain.models import DeleteOrder
from infra.temporal import begin
from infra.temporal.names import provision_id

log = logging.getLogger(__name__)


class Orders:
    def __init__(self, pool: Pool, client: Client, sweep_after: float, unwind: float) -> None:
        """``sweep_after``: seconds an order may wait for its story before the sweep begins it. ``unwind``: seconds a
        create that is told to stop has until it is ended by force."""
        self._pool = pool
        self._client = client
        self._sweep_after = sweep_after
        self._unwind = unwind

    @activity.defn
    async def stop_create(self, order: DeleteOrder) -> None:
        """Tell the create to stop and wait until it has ended, however it ends."""
        handle = self._client.get_workflow_handle(provision_id(order.server_id))
        try:
            await handle.signal("abandon")
            if not await self._ends(handle):
                log.error("the create of server %s does not stop: it is ended by force", order.server_id)
                await handle.terminate("told to stop and did not: the delete gives back what it holds")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it never began, or ended before
                raise

    async def _ends(self, handle: WorkflowHandle[object, object]) -> bool:
        """Whether it does within its time."""
        until = asyncio.get_running_loop().time() + self._unwind
        waiting = asyncio.create_task(self._end_of(handle))
        try:
            while not waiting.done() and asyncio.get_running_loop().time() < until:
                activity.heartbeat()
                await asyncio.wait([waiting], timeout=1)
            return waiting.done() and waiting.result()
        finally:
            waiting.cancel()

    @activity.defn
    async def sweep_orders(self, location: str) -> int:
        """Begin what waits; the number of stories that are under way for it. What is past its time goes as well."""
        async with self._pool.connection() as connection:
            await idempotency.forget_old(connection)
            await placement_inputs.forget_old(connection)
            creates = await orders.waiting_orders(connection, location, self._sweep_after)
            deletes = await orders.waiting_deletes(connection, location, self._sweep_after)
            waiting = await changes.waiting(connection, location, self._sweep_after)
        begun = [await self._begin(begin.begin_provision(self._client, create)) for create in creates]
        begun += [await self._begin(begin.begin_delete(self._client, delete)) for delete in deletes]
        begun += [await self._begin(begin.begin_change(self._client, change)) for change in waiting]
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

    async def _end_of(self, handle: WorkflowHandle[object, object]) -> bool:
        with suppress(WorkflowFailureError):
            await handle.result()
        return True
