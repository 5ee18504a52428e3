"""Work that goes on beside other work, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

AGAIN = 1.0
"""Seconds between two cancellations of what goes on in spite of the first."""


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """They go on while this is open, and have ended when it is closed. What one failed with is raised then."""
    tasks = [asyncio.create_task(work) for work in works]
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
    while going_on := [task for task in tasks if not task.done()]:
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on, timeout=AGAIN)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at: asyncio would report it as lost
