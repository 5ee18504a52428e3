"""What happens at the edge and in the books, measured in this process: the product's own code, a real database.

The edge's rows are no steps of the story; quota, placement and addresses are shown here without Temporal. Each is done
again and again, nothing else going on, and everything taken is given back between two samples.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from activities.addresses import AddressBook
from activities.placement import Placements
from activities.quota import Quotas
from api.auth import Authenticator
from api.choices import new_server
from api.rate_limit import Turnstile
from api.schemas.servers import CreateServer
from infra.catalog.default import ensure_catalogue
from infra.db import keys, orders
from infra.db.built_images import register_image
from infra.db.keys import Caller
from infra.db.orders import NewServer
from infra.db.pool import Connection, Pool, open_pool, open_quick_pool
from infra.db.pools import ensure_pool
from infra.domain.models import PlacementRequest, ServerOrder
from infra.domain.rate_limit import Pace
from tests.bench import lists, machine
from tests.bench.figures import Summary, summary, timed
from tests.bench.stack import POOLS, lift_limits
from workers.local.books import SIMULATED_IMAGE

SECRET = b"of a bench"
FLOOR = "SELECT user_id FROM api_keys WHERE digest = %s"
REGIONS = (1_000, 10_000)
"""Hosts in the locations that placement is measured in."""


@dataclass(frozen=True, slots=True)
class Books:
    load: tuple[float, float]
    rows: Mapping[str, Summary]


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


async def measure(url: str, samples: int) -> Books:
    before = machine.load()
    async with open_desk(url) as desk:
        rows = {**await edge(desk, samples), **await steps(desk, samples)}
        for size in REGIONS:
            async with desk.pool.connection() as connection:
                await furnish(connection, f"of-{size}", size)
            rows[f"place among {size:,} hosts"] = await placement(desk, size, samples)
        rows |= await lists.measure(desk, samples)
        rows["choose beside 11,000 hosts"] = await row(samples, lambda: desk.chosen("few"))
    return Books((before, machine.load()), rows)


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
    """A location and its hosts, some fuller than others, 40 to a rack and 400 to a switch."""
    location_id = await ensure_catalogue(connection, location)
    if location == "few":
        for cidr in POOLS:
            await ensure_pool(connection, location_id, cidr)
    await connection.execute(
        "INSERT INTO hosts (name, key_digest, location_id, rack, switch, cores, memory_mib, disk_gib, used_cores,"
        " used_memory_mib, used_disk_gib, io_wait, net_saturation, reported)"
        " SELECT %(location)s || '-' || n, sha256((%(location)s || n)::bytea), %(id)s, 'r' || n / 40, 's' || n / 400,"
        " 64, 262144, 4000, n %% 60, (n %% 60) * 4096, (n %% 60) * 60, (n %% 10) / 100.0, (n %% 7) / 100.0, now()"
        " FROM generate_series(1, %(count)s) n",
        {"location": location, "id": location_id, "count": count},
    )


async def edge(desk: Desk, samples: int) -> dict[str, Summary]:
    """Who asks, how often, for what; and the order that is made of it."""

    async def validate() -> None:
        CreateServer.model_validate(json.loads(desk.body("few")))

    return {
        **await gate(desk, samples),
        "validate": await row(samples, validate),
        "choose": await row(samples, lambda: desk.chosen("few")),
        "accept": await row(samples, lambda: desk.order("few")),
    }


async def gate(desk: Desk, samples: int) -> dict[str, Summary]:
    """A request's own question, beside the least that any look-up costs; by turns, so that noise hits both."""
    header, digest = f"Bearer {desk.token}", keys.digest_of(SECRET, desk.token)
    ours, floor = [], []
    async with open_quick_pool(desk.url, "puchify-bench-gate") as quick, desk.pool.connection() as bare:
        authenticator = Authenticator(desk.pool, Turnstile(quick, Pace.of(100_000)), SECRET)
        for _ in range(samples + 1):
            ours.append(await timed(partial(authenticator.admit, header)))
            floor.append(await timed(partial(bare.execute, FLOOR, (digest,), prepare=True)))
    return {"authenticate": without_first(ours), "authenticate floor": without_first(floor)}


async def steps(desk: Desk, samples: int) -> dict[str, Summary]:
    """The steps of admission, as the activities do them."""
    quotas, address_book = Quotas(desk.pool), AddressBook(desk.pool, rest=0)
    reserved, assigned = [], []
    for _ in range(samples + 1):
        order = await desk.order("few")
        reserved.append(await timed(partial(quotas.reserve_quota, order)))
        assigned.append(await timed(partial(address_book.assign_addresses, order)))
        await quotas.release_quota(order)
        await address_book.release_addresses(order)
        await desk.forget(order)
    return {"reserve quota": without_first(reserved), "assign addresses": without_first(assigned)}


async def placement(desk: Desk, size: int, samples: int) -> Summary:
    placements, location = Placements(desk.pool), f"of-{size}"
    took = []
    for _ in range(samples + 1):
        request = PlacementRequest(await desk.order(location))
        await refresh(desk, location)
        took.append(await timed(partial(placements.place_server, request)))
        await placements.release_claim(request)
        await desk.forget(request.order)
    return without_first(took)


async def refresh(desk: Desk, location: str) -> None:
    """Hosts that do not report are dropped after 90 s, and then there is nothing to rank."""
    async with desk.pool.connection() as connection:
        await connection.execute(
            "UPDATE hosts SET reported = now() FROM locations l"
            " WHERE l.id = location_id AND l.name = %s AND reported < now() - interval '30 seconds'",
            (location,),
        )


async def row(samples: int, work: Callable[[], Awaitable[object]]) -> Summary:
    return without_first([await timed(work) for _ in range(samples + 1)])


def without_first(timings: Sequence[tuple[float, object]]) -> Summary:
    """The first one meets caches, connections and pools that are empty."""
    return summary(milliseconds for milliseconds, _ in timings[1:])
