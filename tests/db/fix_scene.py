"""A region in the books with a server that runs: what is held there, and how it goes wrong and old by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from activities.audits import Audits
from infra.db import addresses, claims, hosts, ledger, orders, quotas, records, reports
from infra.db.hosts import NewHost
from infra.db.ledger import Finding, Limits
from infra.db.pools import ensure_pool
from infra.domain.models import PARTS, Audited, AuditRequest, FinishedOrder, HostReport, Part, Readiness, ServerOrder

if TYPE_CHECKING:
    from tests.db.conftest import Project

GRACE = 120.0
WITHIN = 900.0  # seconds, of creates and deletes
HOUR = "interval '1 hour'"
GONE = 999_999
"""A server that is not in the books."""


class Scene:
    """A region with one host, which reports when it is told to, and one server that runs on it."""

    host_id = 7

    def __init__(self, project: Project) -> None:
        self.project = project
        self.server_id = 0
        self.reports = 0
        self.holds: dict[int, list[Part]] = {}

    async def order(self, name: str = "web") -> ServerOrder:
        accepted = await self.project.accept(name)
        async with self.project.pool.connection() as connection:
            order = await orders.load_order(connection, accepted.server_id)
        assert order is not None
        return order

    async def begin(self, order: ServerOrder) -> None:
        """As far as the host: all that a create holds in the books, and its parts."""
        async with self.project.pool.connection() as connection:
            await quotas.reserve(connection, order)
            assert await claims.take(connection, order, self.host_id, {})
            await addresses.assign(connection, order, rest=0)
        self.holds[order.server_id] = list(PARTS)

    async def finish(self, order: ServerOrder) -> None:
        async with self.project.pool.connection() as connection, connection.transaction():
            claim = await claims.of_server(connection, order.server_id)
            assert claim is not None
            await records.finish(connection, FinishedOrder(order, claim, Readiness("ssh-ed25519 AAAA", True)), [])

    async def report(self) -> None:
        """Something new each time, since what is told again is taken for written."""
        self.reports += 1
        async with self.project.pool.connection() as connection:
            await reports.record_report(
                connection,
                HostReport(self.host_id, 64, 65_536, 2_000, facts={"reports": self.reports}, holds=self.holds),
            )

    async def plant(self, statement: str) -> None:
        """``{server}``: the one that runs; ``{gone}``: one that is not in the books."""
        await self.project.all(statement.format(server=self.server_id, gone=GONE, host=self.host_id))

    async def examine(self) -> list[Finding]:
        async with self.project.pool.connection() as connection:
            return await ledger.examine(connection, "local", Limits(WITHIN, WITHIN))

    async def audit(self) -> Audited:
        return await Audits(self.project.pool, GRACE).audit_region(AuditRequest("local", WITHIN, WITHIN))

    async def an_hour_passes(self) -> None:
        for statement in (
            f"UPDATE findings SET since = since - {HOUR}",
            f"UPDATE audits SET at = at - {HOUR}",
            f"UPDATE actions SET started = started - {HOUR}, finished = finished - {HOUR}",
            f"UPDATE servers SET began = began - {HOUR}, created = created - {HOUR}",
            f"UPDATE host_holdings SET since = since - {HOUR}",
            f"UPDATE tombstones SET created = created - {HOUR}",
        ):
            await self.project.all(statement)


@pytest_asyncio.fixture
async def scene(project: Project) -> Scene:
    scene = Scene(project)
    async with project.pool.connection() as connection:
        await hosts.register_host(connection, NewHost(scene.host_id, "h7", project.location_id, b"k" * 32))
        for cidr in ("203.0.113.0/24", "2001:db8:100::/48"):
            await ensure_pool(connection, project.location_id, cidr)
    await scene.report()
    order = await scene.order()
    await scene.begin(order)
    await scene.finish(order)
    scene.server_id = order.server_id
    await scene.report()
    return scene
