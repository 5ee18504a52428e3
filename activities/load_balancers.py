"""Load balancers: the servers that they send to, and the edges that serve them."""

from __future__ import annotations

import asyncio

from temporalio import activity

from infra.db import serving
from infra.db.pool import Pool
from infra.domain.edge_plan import EdgeOrder, Health, Served
from infra.domain.models import ServerOrder
from infra.drivers.edges import Edge
from infra.edge_api import EdgeApi


class LoadBalancers:
    """In the region: the books."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def register_targets(self, order: ServerOrder) -> list[int]:
        """The server may be sent to from now on; the ids of the edges whose load balancers do."""
        async with self._pool.connection() as connection:
            await serving.register(connection, order.server_id)
            return await serving.edges_of_project(connection, order.project_id)

    @activity.defn
    async def deregister_targets(self, order: ServerOrder) -> list[int]:
        """Nothing is sent to the server any more; the ids of the edges whose load balancers did."""
        async with self._pool.connection() as connection:
            await serving.deregister(connection, order.server_id)
            return await serving.edges_of_project(connection, order.project_id)


class Edges:
    """On an edge node. However many orders come while it works, the next look at the books is for all of them."""

    def __init__(self, edge: Edge, api: EdgeApi) -> None:
        self._edge = edge
        self._api = api
        self._turn = asyncio.Lock()
        self._asked = self._done = 0
        self.served = Served("")

    @activity.defn
    async def follow_plan(self, order: EdgeOrder) -> None:
        """The edge serves what the books say by now. HostUnavailable, Unavailable: not yet."""
        await self.follow()

    async def follow(self) -> None:
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._done < mine:
                await self._edge.rest()
                covered = self._asked
                self.served = await self._edge.follow(await self._api.plan())
                self._done = covered

    async def health(self) -> list[Health]:
        return await self._edge.health()
