"""Edges of a region: known to its books, at work in the test's own process on the product's own internal endpoints."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx

from activities.load_balancers import Edges
from infra.db import edges as edge_books
from infra.db import keys
from infra.db.edges import NewEdge
from infra.drivers.edges import Edge
from infra.edge_api import EdgeApi
from tests.fix_region import Region, internal_app
from workers.edge import Reporting, edge_worker

EVERY = 0.1
"""Seconds between two reports."""


@dataclass(frozen=True, slots=True)
class KnownEdge:
    id: int
    key: str


async def new_edge(region: Region) -> KnownEdge:
    key = secrets.token_hex(32)
    digest = keys.digest_of(keys.server_secret(region.settings), key)
    async with region.pool.connection() as connection:
        new = NewEdge(f"edge-{secrets.token_hex(4)}", region.location_id, digest)
        return KnownEdge(await edge_books.register_edge(connection, new), key)


@asynccontextmanager
async def edge_api(region: Region, known: KnownEdge) -> AsyncIterator[EdgeApi]:
    app = internal_app(region.settings)
    async with app.router.lifespan_context(app):
        transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {known.key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as http:
            yield EdgeApi(http, known.id)


@asynccontextmanager
async def working_edge(region: Region, known: KnownEdge, edge: Edge) -> AsyncIterator[Edges]:
    """An edge worker that has spoken with the books already."""
    async with edge_api(region, known) as api:
        edges = Edges(edge, api)
        await api.report(edges.served)
        reporting = asyncio.create_task(Reporting(edges, api, EVERY).keep_on())
        try:
            async with edge_worker(region.client, edges, known.id):
                yield edges
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
