"""Hosts: whether one that leaves its steps waiting is only busy, or silent and to be left."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from infra.db import hosts
from infra.db.pool import Pool
from infra.domain.errors import Unavailable
from infra.domain.models import HostQuestion
from infra.temporal import pulse
from infra.temporal.names import host_queue

LOOK = 0.5
"""Seconds between two looks for a newer sign of life."""


class Hosts:
    def __init__(self, pool: Pool, client: Client, pulse: float) -> None:
        """``pulse``: seconds between two signs of life of a worker."""
        self._pool = pool
        self._client = client
        self._window = 2.5 * pulse  # one sign may be late

    @activity.defn
    async def hear_host(self, question: HostQuestion) -> bool:
        """True as soon as the host's worker gives a new sign of life. One that gives none is marked as silent: it gets
        no server until it reports again. Signs are compared with each other, so no clock has to be right. One that an
        operator gave up as lost is not listened for."""
        listen = not question.enough and not await self._is_lost(question.host_id)
        if listen and await self._hears(host_queue(question.host_id)):
            return True
        async with self._pool.connection() as connection:
            await hosts.mark_silent(connection, question.host_id)
        return False

    async def _is_lost(self, host_id: int) -> bool:
        async with self._pool.connection() as connection:
            return await hosts.is_lost(connection, host_id)

    async def _hears(self, queue: str) -> bool:
        until = asyncio.get_running_loop().time() + self._window
        before = await self._newest(queue)
        while asyncio.get_running_loop().time() < until:
            activity.heartbeat()
            await asyncio.sleep(LOOK)
            if await self._newest(queue) > before:
                return True
        return False

    async def _newest(self, queue: str) -> float:
        try:
            return await pulse.newest(self._client, queue)
        except RPCError as cause:
            raise Unavailable("a part of the service does not answer; try again") from cause
