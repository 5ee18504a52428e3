"""Names: what name servers answer with, as the books say."""

from __future__ import annotations

from temporalio import activity

from infra.db.pool import Pool
from infra.domain.changes import Change
from infra.domain.models import ServerOrder


class Names:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def publish_dns(self, order: ServerOrder) -> None:
        """The server's names lead to its addresses."""

    @activity.defn
    async def withdraw_dns(self, order: ServerOrder) -> None:
        """No name leads to the server any more."""

    async def follow(self, change: Change) -> None:
        """Of zones, and of what has a name in them."""
