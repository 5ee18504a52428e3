"""Load balancers: the servers that they send to, and the edges that serve them."""

from __future__ import annotations

from temporalio import activity

from infra.db.pool import Pool
from infra.domain.edge_plan import EdgeOrder
from infra.domain.models import ServerOrder


class LoadBalancers:
    """In the region: the books."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def register_targets(self, order: ServerOrder) -> list[int]:
        """The server may be sent to from now on; the ids of the edges whose load balancers do."""
        return []

    @activity.defn
    async def deregister_targets(self, order: ServerOrder) -> list[int]:
        """Nothing is sent to the server any more; the ids of the edges whose load balancers did."""
        return []


class Edges:
    """On an edge node."""

    @activity.defn
    async def follow_plan(self, order: EdgeOrder) -> None:
        """The edge serves what the books say by now."""
