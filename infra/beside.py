"""Work that goes on beside other work, and ends with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

AGAIN = 10.0
"""Seconds between two cancellations of what goes on in spite of the first: what cleans up has so long for it."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """They go on while this is open, and have ended when it is closed. What one fails with is logged at once, and
    raised then."""
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(_told)
    try:
        yield
    finally:
        await end(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel them until they have ended, well or not: one that gets what it waits for in the very moment goes on
    (``asyncio.wait_for`` of Python 3.11 forgets the cancellation then, and pools of connections wait by it)."""
    cancelled = False
    while going_on := [task for task in tasks if not task.done()]:
        for task in going_on:
            task.cancel()
        try:
            await asyncio.wait(going_on, timeout=AGAIN)
        except asyncio.CancelledError:
            cancelled = True
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at: asyncio would report it as lost
    if cancelled:
        raise asyncio.CancelledError


def _told(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what goes on beside has failed", exc_info=error)
