"""What happens at the edge and in the books, measured in this process: the product's own code, a real database.

The edge's rows are no steps of the story; quota and addresses are shown here without Temporal. Each is done
again and again, nothing else going on, and everything taken is given back between two samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from activities.addresses import AddressBook
from activities.quota import Quotas
from api.auth import Authenticator
from api.rate_limit import Turnstile
from api.schemas.servers import CreateServer
from infra.db import keys
from infra.db.pool import open_quick_pool
from infra.domain.rate_limit import Pace
from tests.bench import lists, machine
from tests.bench.desk import SECRET, Desk, furnish, open_desk, row, without_first
from tests.bench.figures import Summary, timed

FLOOR = "SELECT user_id FROM api_keys WHERE digest = %s"


@dataclass(frozen=True, slots=True)
class Books:
    load: tuple[float, float]
    rows: Mapping[str, Summary]


async def measure(url: str, samples: int) -> Books:
    before = machine.load()
    async with open_desk(url) as desk:
        rows = {**await edge(desk, samples), **await steps(desk, samples)}
        async with desk.pool.connection() as connection:
            await furnish(connection, "many", 11_000)
        rows |= await lists.measure(desk, samples)
        rows["choose beside 11,000 hosts"] = await row(samples, lambda: desk.chosen("few"))
    return Books((before, machine.load()), rows)


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
