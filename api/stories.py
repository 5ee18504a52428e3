"""The stories as the API asks for them: admit an order, begin a delete, wait for an end, tell a timeline.

Temporal is somebody else's process: every call has an end of its own, and one that does not answer is Unavailable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from infra.domain.changes import Change
from infra.domain.errors import Unavailable
from infra.domain.models import Admission, DeleteOrder, ServerOrder
from infra.temporal import begin
from infra.temporal.names import import_id, provision_id
from infra.temporal.timeline import timeline_of

log = logging.getLogger(__name__)

ADMISSION = 30.0  # seconds for quota, placement and addresses: tens of milliseconds, until a hundred orders come
BEGINNING = 5.0  # seconds for Temporal to take an order that the sweep would begin as well
LOOKING = 5.0  # seconds for a timeline

# A connection that cannot be made is a RuntimeError.
AWAY = (RPCError, RPCTimeoutOrCancelledError, TimeoutError, RuntimeError)


class Stories:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def admit(self, order: ServerOrder) -> Admission | None:
        """Begin the order's story and wait for its admission; repeated, it is the same story and the same answer.

        None: the story ended without telling (the books know how). Unavailable: no answer within ``ADMISSION``.
        """
        update, beginning = f"admit-{order.server_id}", begin.provision(order)
        async with _answering(ADMISSION), _looked_at(beginning):
            try:
                told: Admission = await self._client.execute_update_with_start_workflow(
                    "admit", start_workflow_operation=beginning, id=update, result_type=Admission
                )
                return told
            except WorkflowAlreadyStartedError:
                return await self._told(order, update)
            except WorkflowUpdateFailedError as error:
                log.warning("server %s: admission failed: %s", order.server_id, error.cause)
                return None

    async def _told(self, order: ServerOrder, update: str) -> Admission | None:
        """What a story that has ended answered when it was asked; None: it was begun by the sweep, and never asked."""
        handle = self._client.get_workflow_handle(provision_id(order.server_id))
        try:
            told: Admission = await handle.get_update_handle(update, result_type=Admission).result()
            return told
        except WorkflowUpdateFailedError:
            return None
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def begin_delete(self, order: DeleteOrder) -> None:
        """Repeated, it is the same story. Unavailable: the sweep begins it later, the order stands."""
        async with _answering(BEGINNING):
            with suppress(WorkflowAlreadyStartedError):
                await begin.begin_delete(self._client, order)

    async def begin_change(self, change: Change) -> None:
        """Repeated, it is the same story. Unavailable: the sweep begins it later, the change stands."""
        async with _answering(BEGINNING):
            with suppress(WorkflowAlreadyStartedError):
                await begin.begin_change(self._client, change)

    async def tell_import(self, image_id: int, signal: Literal["uploaded", "abandon"]) -> None:
        """All of an image is there, or its owner gave it up. One whose story has ended, or is not begun, need not hear
        it. Unavailable: it was not told, and finds out by itself."""
        async with _answering(BEGINNING):
            try:
                await self._client.get_workflow_handle(import_id(image_id)).signal(signal)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise

    async def wait(self, workflow_id: str, seconds: float) -> None:
        """Until the story has ended, however it ends, or the time is up; the books tell the rest."""
        handle = self._client.get_workflow_handle(workflow_id)
        with suppress(WorkflowFailureError, *AWAY):
            async with asyncio.timeout(seconds):
                await handle.result()

    async def timeline(self, workflow_id: str) -> list[dict[str, Any]]:
        """The steps so far; none when the story has not begun."""
        async with _answering(LOOKING):
            try:
                return await timeline_of(self._client, workflow_id)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
        return []

    async def ping(self) -> bool:
        """Whether Temporal answers now."""
        try:
            async with asyncio.timeout(2):
                return await self._client.service_client.check_health()
        except AWAY:
            return False


@asynccontextmanager
async def _looked_at(beginning: WithStartWorkflowOperation[Any, Any]) -> AsyncIterator[None]:
    """The SDK keeps an error here as well, and logs it as lost unless somebody looks. Some it does not keep."""
    try:
        yield
    except BaseException:
        with suppress(BaseException):
            async with asyncio.timeout(0):
                await beginning.workflow_handle()
        raise


@asynccontextmanager
async def _answering(seconds: float) -> AsyncIterator[None]:
    """Unavailable when Temporal refuses, is away or takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except AWAY as cause:
        raise Unavailable("the server pipeline does not answer; try again in a moment") from cause
