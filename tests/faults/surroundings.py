"""What is around a ground's servers: a zone that their names lie in, and an edge whose load balancer sends to all.

So stories wait for the name servers and tell the edge. What the edge serves it writes down, so that it is known of one
in a process of its own as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from dns.exception import Timeout

from infra.config import Settings
from infra.domain.edge_plan import EdgePlan, Served
from infra.drivers.edges import SimulatedEdge
from tests.edge.regional import KnownEdge, new_edge
from tests.fix_dns import NameServer
from tests.fix_region import Region

ALL = {"type": "label_selector", "label_selector": {"selector": "!exempt"}}


class WrittenEdge(SimulatedEdge):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    async def follow(self, plan: EdgePlan) -> Served:
        backends = [backend.address for balancer in plan.balancers for backend in balancer.backends]
        written = self._path.with_suffix(".new")
        written.write_text("\n".join(backends))
        written.replace(self._path)
        return await super().follow(plan)


def open_edge(settings: Settings) -> SimulatedEdge:
    """In the place of the product's own."""
    return WrittenEdge(_path(settings, settings.edge_id))


@asynccontextmanager
async def surrounded(region: Region, owner: httpx.AsyncClient) -> AsyncIterator[KnownEdge]:
    """Ordered before any worker works; the edge is live for as long as it takes until its own does."""
    edge = await new_edge(region)
    await region.execute("UPDATE edges SET reported = now() WHERE id = %s", edge.id)
    region.domain = f"{region.location}.example.com"
    await _ordered(owner, "/zones", {"name": region.domain, "mode": "primary"})
    balancer = {"name": "all", "load_balancer_type": "lb11", "location": region.location, "targets": [ALL]}
    await _ordered(owner, "/load_balancers", balancer)
    try:
        yield edge
    finally:
        await region.execute("DELETE FROM edges WHERE id = %s", edge.id)


async def _ordered(owner: httpx.AsyncClient, path: str, body: object) -> None:
    reply = await owner.post(path, json=body)
    assert reply.status_code == 201, reply.text


async def led_to(region: Region, name: str) -> list[str] | str:
    """What is answered for a server's name: its IPv4 addresses, or NXDOMAIN."""
    try:
        return await NameServer(region.settings.dns_port, {}).ask(name, "A")
    except Timeout:
        return "nothing"


async def served(region: Region) -> set[str] | None:
    """The addresses that the region's edge sends to; None: it has not followed any plan yet."""
    row = await region.one("SELECT id FROM edges WHERE location_id = %s", region.location_id)
    path = _path(region.settings, row["id"]) if row else None
    return set(path.read_text().split()) if path and path.exists() else None


def _path(settings: Settings, edge_id: int) -> Path:
    return settings.state / f"edge-{edge_id}.served"
