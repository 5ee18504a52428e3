"""An operator's shell: `puchify host ...` as a process of its own, on the books of a region."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from infra.db import claims
from infra.domain.models import ServerOrder
from tests.cli.run import Ended, argv, environment, puchify
from tests.fix_region import NewRegion, Region


@dataclass
class Shell:
    """An operator's shell, and a region with one host that nobody works for."""

    region: Region
    host_id: int
    name: str

    async def host(self, *words: str) -> Ended:
        return await asyncio.to_thread(puchify, "host", *words, **self.settings)

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *argv("host", *words), env=environment(**self.settings), stdout=PIPE, stderr=PIPE
        )

    @property
    def settings(self) -> dict[str, object]:
        return {"state": self.region.settings.state, "database_url": self.region.settings.database_url}

    async def server(self, name: str) -> ServerOrder:
        """One that has a claim on the host."""
        order = await self.region.order(name)
        async with self.region.pool.connection() as connection:
            assert await claims.take(connection, order, self.host_id, {}) is not None
        return order

    async def gone(self, order: ServerOrder) -> None:
        async with self.region.pool.connection() as connection:
            await claims.release(connection, order.server_id)

    async def state(self) -> str:
        row = await self.region.one("SELECT state FROM hosts WHERE id = %s", self.host_id)
        return row["state"] if row else "removed"


@pytest_asyncio.fixture
async def shell(new_region: NewRegion) -> AsyncIterator[Shell]:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        yield Shell(region, host_id, f"{region.location}-{host_id}")
