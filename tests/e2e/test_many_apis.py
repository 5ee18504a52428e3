"""The rate limit over four API processes: together they let through what one would, to the request.

Times are the database's, which is the clock that the limit goes by: a machine that is slow changes none of the sums.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

import httpx
import pytest_asyncio

from infra.db import keys
from tests.fix_deployment import Deployment, free_url
from tests.fix_region import Region

RATE, BURST = 25, 50
# Few a second: on a busy machine four processes would not come near a hundred, and a full bucket takes no more.
# Keys are asked for, which are the project's own: of locations there is one for each test, and they take long to read.
ASKERS = 16
ENOUGH = BURST + 3 * RATE
"""Requests that have passed when we stop: the burst, and what comes back in some seconds."""


@dataclass
class Crowd:
    """One user, who asks all of the processes at a time."""

    region: Region
    clients: list[httpx.AsyncClient]
    passed: int = 0

    async def ask(self, client: httpx.AsyncClient) -> bool:
        reply = await client.get("/ssh_keys")
        assert reply.status_code in (200, 429), reply.text
        self.passed += reply.status_code == 200
        return reply.status_code == 200

    async def ask_until_enough(self, client: httpx.AsyncClient) -> None:
        while self.passed < ENOUGH:
            if not await self.ask(client):
                await asyncio.sleep(0.01)  # it does not listen to Retry-After, but leaves the others the processor

    async def now(self) -> datetime:
        row = await self.region.one("SELECT clock_timestamp() AS now")
        assert row is not None
        now: datetime = row["now"]
        return now


@pytest_asyncio.fixture
async def four(stopped_deployment: Deployment) -> Deployment:
    stopped_deployment.urls = [free_url() for _ in range(4)]
    stopped_deployment.settings = {"RATE_LIMIT": RATE}
    await stopped_deployment.start("api")
    return stopped_deployment


@pytest_asyncio.fixture
async def crowd(four: Deployment) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        clients = [client_of(url, four.region.token) for url in four.urls]
        yield Crowd(four.region, [await stack.enter_async_context(client) for client in clients])


def client_of(url: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)


async def test_four_processes_let_through_what_one_would(crowd: Crowd) -> None:
    before = await crowd.now()
    assert await crowd.ask(crowd.clients[0])
    first = await crowd.now()
    turns = itertools.cycle(crowd.clients)
    await asyncio.gather(*(crowd.ask_until_enough(next(turns)) for _ in range(ASKERS)))
    last = await crowd.now()
    while all(await asyncio.gather(*(crowd.ask(next(turns)) for _ in range(ASKERS)))):
        last = await crowd.now()
    after = await crowd.now()

    # Somebody was refused after ``last``, so until then nothing was left lying.
    assert crowd.passed >= 0.98 * (BURST + RATE * (last - first).total_seconds() - 1)
    assert crowd.passed <= BURST + RATE * (after - before).total_seconds() + 1


async def test_who_asks_as_usual_beside_a_crowd_is_never_refused(four: Deployment, crowd: Crowd) -> None:
    async with crowd.region.pool.connection() as connection:
        secret, name = keys.server_secret(crowd.region.settings), f"{crowd.region.location}-usual"
        token = await keys.make_key(connection, secret, user=name, project=crowd.region.location, name="usual")
    turns = itertools.cycle(crowd.clients)
    asking = asyncio.gather(*(crowd.ask_until_enough(next(turns)) for _ in range(ASKERS)))
    left = []
    async with client_of(four.urls[0], token) as usual:
        while not asking.done():
            reply = await usual.get("/ssh_keys")
            assert reply.status_code == 200, reply.text
            left.append(int(reply.headers["ratelimit-remaining"]))
            await asyncio.sleep(0.05)
    await asking

    assert min(left) >= BURST - len(left)  # a bucket of its own, from which nobody else takes
