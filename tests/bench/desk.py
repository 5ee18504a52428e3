"""A desk that takes orders: books with a project, one location to order in, and how what is done there is timed."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from api.choices import new_server
from api.schemas.servers import CreateServer
from infra.catalog.default import ensure_catalogue
from infra.db import keys, orders
from infra.db.built_images import register_image
from infra.db.keys import Caller
from infra.db.orders import NewServer
from infra.db.pool import Connection, Pool, open_pool
from infra.db.pools import ensure_pool
from infra.domain.models import ServerOrder
from tests.bench.figures import Summary, summary, timed
from tests.bench.stack import POOLS, lift_limits
from workers.local.books import SIMULATED_IMAGE

SECRET = b"of a bench"


@dataclass
class Desk:
    """Books with a project, ready to take orders."""

    url: str
    pool: Pool
    token: str
    caller: Caller
    _names: itertools.count[int] = field(default_factory=itertools.count)

    def body(self, location: str) -> bytes:
        """A POST as a client sends it."""
        wanted = {
            "name": f"bench-{next(self._names)}",
            "server_type": "px1",
            "image": "tiny",
            "location": location,
            "labels": {"env": "production", "team": "web"},
            "user_data": "#cloud-config\nruncmd:\n  - [touch, /root/was-here]\n",
        }
        return json.dumps(wanted).encode()

    async def chosen(self, location: str) -> NewServer:
        wanted = CreateServer.model_validate(json.loads(self.body(location)))
        async with self.pool.connection() as connection:
            return await new_server(connection, self.caller, wanted, location)

    async def order(self, location: str) -> ServerOrder:
        new = await self.chosen(location)
        async with self.pool.connection() as connection:
            accepted = await orders.accept(connection, new)
            order = await orders.load_order(connection, accepted.server_id)
        assert order is not None
        return order

    async def forget(self, order: ServerOrder) -> None:
        async with self.pool.connection() as connection:
            await connection.execute("DELETE FROM servers WHERE id = %s", (order.server_id,))


@asynccontextmanager
async def open_desk(url: str) -> AsyncIterator[Desk]:
    async with open_pool(url, 4, "puchify-bench") as pool, pool.connection() as connection:
        await furnish(connection, "few", 1)
        await register_image(connection, SIMULATED_IMAGE)
        token = await keys.make_key(connection, SECRET, user="bench", project="bench", name="bench")
        await lift_limits(url)
        caller = await keys.caller_of(connection, keys.digest_of(SECRET, token))
        assert caller is not None
        yield Desk(url, pool, token, caller)


async def furnish(connection: Connection, location: str, count: int) -> None:
    """A location and its hosts where there are none yet, some fuller than others, 40 to a rack and 400 to a switch."""
    location_id = await ensure_catalogue(connection, location)
    if location == "few":
        for cidr in POOLS:
            await ensure_pool(connection, location_id, cidr)
    await connection.execute(
        "INSERT INTO hosts (name, key_digest, location_id, rack, switch, cores, memory_mib, disk_gib, used_cores,"
        " used_memory_mib, used_disk_gib, io_wait, net_saturation, reported)"
        " SELECT %(location)s || '-' || n, sha256((%(location)s || n)::bytea), %(id)s, 'r' || n / 40, 's' || n / 400,"
        " 64, 262144, 4000, n %% 60, (n %% 60) * 4096, (n %% 60) * 60, (n %% 10) / 100.0, (n %% 7) / 100.0, now()"
        " FROM generate_series(1, %(count)s) n ON CONFLICT (name) DO NOTHING",
        {"location": location, "id": location_id, "count": count},
    )


async def row(samples: int, work: Callable[[], Awaitable[object]]) -> Summary:
    return without_first([await timed(work) for _ in range(samples + 1)])


def without_first(timings: Sequence[tuple[float, object]]) -> Summary:
    """The first one meets caches, connections and pools that are empty."""
    return summary(milliseconds for milliseconds, _ in timings[1:])
