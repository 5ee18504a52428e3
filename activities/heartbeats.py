"""Heartbeats: every step on a host says each second that it is at work, so that its worker's death is soon known.

A beat is also how a step learns that its story has given it up. What a step tells in its own beats stays in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

EVERY = 1.0  # seconds


class Heartbeats(Interceptor):
    """For the host worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Beating(next)


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """The same for a step of the region that takes long: while it lasts, it is said to be at work."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


class _Beating(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._beats = _Remembered(outbound)
        super().init(self._beats)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        beating = asyncio.create_task(self._beats.again_and_again())
        try:
            return await self.next.execute_activity(input)
        finally:
            beating.cancel()


class _Remembered(ActivityOutboundInterceptor):
    """The step's own beats, and the last of them again whenever it is silent."""

    _told: tuple[Any, ...] = ()

    def heartbeat(self, *details: Any) -> None:
        self._told = details
        super().heartbeat(*details)

    async def again_and_again(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            super().heartbeat(*self._told)
