"""Quota: what an order takes of its owner's limits, held from admission to the end of the server."""

from __future__ import annotations

from temporalio import activity

from infra.db import quotas
from infra.db.pool import Pool
from infra.domain.models import ServerOrder


class Quotas:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def reserve_quota(self, order: ServerOrder) -> None:
        """Begin the order and charge it. OrderWithdrawn: it was taken back. QuotaExceeded: by how much."""
        async with self._pool.connection() as connection:
            await quotas.reserve(connection, order)

    @activity.defn
    async def release_quota(self, order: ServerOrder) -> None:
        async with self._pool.connection() as connection:
            await quotas.release(connection, order.server_id)
