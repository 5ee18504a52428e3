"""Addresses: a server's public v4 and v6, regional, so that they stay with it when its host changes."""

from __future__ import annotations

from temporalio import activity

from infra.db import addresses
from infra.db.pool import Pool
from infra.domain.models import Addresses, ServerOrder


class AddressBook:
    def __init__(self, pool: Pool, rest: float) -> None:
        """``rest``: seconds that a released address waits before it is used again."""
        self._pool = pool
        self._rest = rest

    @activity.defn
    async def assign_addresses(self, order: ServerOrder) -> Addresses:
        """The addresses the server holds, made complete. ResourceUnavailable: a pool is exhausted."""
        async with self._pool.connection() as connection:
            return await addresses.assign(connection, order, self._rest)

    @activity.defn
    async def release_addresses(self, order: ServerOrder) -> None:
        async with self._pool.connection() as connection:
            await addresses.release(connection, order.server_id)
