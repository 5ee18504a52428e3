"""Exactly once: creates through a network that loses, cuts, delays and repeats, by clients that ask until they know.

`make duplicates` orders a thousand; a test run orders as many as fit into its time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from infra.domain.models import Resources
from tests.faulty_proxy import DEALS, FaultyProxy, faulty_proxy
from tests.fix_deployment import Deployment, deployed
from tests.fix_region import NewRegion, eventually

CREATES = int(os.environ.get("CREATES", "100"))
SEED = int(os.environ.get("SEED", "4"))
WIDTH = 20  # clients at a time
REFUSED = (412, 503)  # nothing was made: the only host was too busy to be heard, or the API to admit
PAUSE = 1.0  # seconds before what was refused is asked again
PATIENCE = 5.0  # seconds that a client waits for an answer before it asks again


@pytest_asyncio.fixture
async def spacious_deployment(
    new_region: NewRegion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Deployment]:
    """With room, quota and addresses for a thousand servers and any doubles."""
    monkeypatch.setenv("PUCHIFY_TIMEOUT_FACTOR", "1")  # a busy machine is no silent host: every order has to succeed
    async with deployed(new_region, tmp_path, Resources(4_000, 8_000_000, 40_000)) as deployment:
        region = deployment.region
        many = 4 * CREATES
        await region.set_quota(max_servers=many, max_cores=many, max_memory_mib=1024 * many, max_disk_gib=10 * many)
        await region.execute(
            "INSERT INTO address_pools (location_id, type, cidr, last_index)"
            " VALUES (%s, 'ipv4', '100.64.0.0/16', 65000)",
            region.location_id,
        )
        await deployment.start()
        yield deployment


@dataclass
class Clients:
    """They order by name, each with one key until it has a whole answer, as careful clients do."""

    http: httpx.AsyncClient
    location: str
    told: dict[str, httpx.Response] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)

    async def create_all(self, names: list[str]) -> None:
        waiting = iter(names)

        async def work() -> None:
            for name in waiting:
                self.told[name] = await self.create(name)

        await asyncio.gather(*(work() for _ in range(WIDTH)))

    async def create(self, name: str) -> httpx.Response:
        body = {"name": name, "server_type": "px1", "image": "tiny", "location": self.location}
        while True:
            self.tries[name] += 1
            with suppress(httpx.TransportError):
                reply = await self.http.post("/servers", json=body, headers={"Idempotency-Key": name})
                if reply.status_code not in REFUSED:
                    return reply
                await asyncio.sleep(PAUSE)


@asynccontextmanager
async def clients_of(deployment: Deployment, url: str) -> AsyncIterator[Clients]:
    headers = {"Authorization": f"Bearer {deployment.region.token}"}
    limits = httpx.Limits(max_keepalive_connections=0)  # what breaks, breaks one request
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE, limits=limits) as http:
        yield Clients(http, deployment.region.location)


@pytest.mark.timeout(300 + 2 * CREATES)  # five a second, on a machine that has nothing else to do
async def test_every_create_makes_one_server(spacious_deployment: Deployment) -> None:
    deployment, begun = spacious_deployment, time.monotonic()
    names = [f"once-{number}" for number in range(CREATES)]
    async with (
        faulty_proxy(deployment.url, SEED) as proxy,
        clients_of(deployment, f"{proxy.url}/api/v1") as clients,
    ):
        await clients.create_all(names)
        answered = time.monotonic() - begun
    await eventually(lambda: all_run(deployment), 60 + CREATES)
    ran = time.monotonic() - begun

    assert set(proxy.dealt) == {deal.__name__ for deal, _ in DEALS}
    await everyone_is_told_what_the_books_say(deployment, proxy, clients)
    ids = {int(reply.json()["server"]["id"]): name for name, reply in clients.told.items()}
    assert sorted(ids.values()) == sorted(names)
    await there_are_only(deployment, ids)
    print(f"\n{CREATES} creates, seed {SEED}: {clients.tries.total()} tries, {max(clients.tries.values())} at most;")
    print(f"all answered after {answered:.0f} s, all running after {ran:.0f} s; {dict(proxy.dealt)}")


async def all_run(deployment: Deployment) -> bool:
    """And no action has failed, but for those of orders that were refused."""
    region = deployment.region
    failed = await region.one(
        "SELECT * FROM actions WHERE project_id = %s AND error_code NOT IN ('resource_unavailable') LIMIT 1",
        region.project_id,
    )
    assert failed is None
    waiting = await region.one(
        "SELECT (SELECT count(*) FROM servers WHERE project_id = %s AND status <> 'running')"
        " + (SELECT count(*) FROM actions WHERE project_id = %s AND status = 'running') AS n",
        region.project_id,
        region.project_id,
    )
    return waiting == {"n": 0}


async def everyone_is_told_what_the_books_say(deployment: Deployment, proxy: FaultyProxy, clients: Clients) -> None:
    """One answer for each key, byte for byte: to its client, to whoever did not get to read it, and in the books."""
    async with deployment.region.pool.connection() as connection:
        found = await connection.execute(
            "SELECT key, status, response FROM idempotency_keys WHERE project_id = %s", (deployment.region.project_id,)
        )
        books = {row["key"]: (row["status"], row["response"].encode()) for row in await found.fetchall()}
    assert {key: (reply.status_code, reply.content) for key, reply in clients.told.items()} == books
    for key, answers in proxy.answers.items():
        assert {(answer.status, answer.body) for answer in answers if answer.status not in REFUSED} == {books[key]}, key


async def there_are_only(deployment: Deployment, ids: dict[int, str]) -> None:
    """In the books by id and name, and on the host by id; nothing is held for anybody else."""
    region = deployment.region
    async with region.pool.connection() as connection:
        found = await connection.execute("SELECT id, name FROM servers WHERE project_id = %s", (region.project_id,))
        assert {row["id"]: row["name"] for row in await found.fetchall()} == ids
    inventory = region.host.inventory()
    assert inventory.disks == inventory.seeds == inventory.ports == set(ids)
    assert inventory.machines == dict.fromkeys(ids, True)
    held = await region.one("SELECT count(*) AS n FROM quota_reservations WHERE project_id = %s", region.project_id)
    assert held == {"n": len(ids)}
    await region.assert_balanced()
