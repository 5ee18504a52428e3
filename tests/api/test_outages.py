"""Parts that are away: the API starts without them, says so while they are gone, and recovers when they are back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio

from api import stories
from infra.config import Settings
from infra.db.cluster import PostgresCluster
from infra.db.migrate import migrate
from infra.runtime_dir import RuntimeDir
from infra.temporal.names import delete_id
from tests.fix_api import Api, serving
from tests.fix_region import NewRegion, Region, eventually
from tests.fix_stack import postgres_process
from workers.processes import Supervisor

NOWHERE = "127.0.0.1:9"


@dataclass
class Books:
    """A PostgreSQL of the test's own, to be stopped and started."""

    cluster: PostgresCluster
    supervisor: Supervisor
    log: Path

    async def start(self) -> None:
        await self.supervisor.start(postgres_process(self.cluster, self.log))

    async def stop(self) -> None:
        await self.supervisor.stop("postgres")


@pytest_asyncio.fixture
async def stopped_books(tmp_path: Path) -> AsyncIterator[Books]:
    with RuntimeDir(tmp_path) as runtime:
        cluster = PostgresCluster.within(runtime, tmp_path / "postgres")
        cluster.ensure_initialised()
        async with Supervisor(tmp_path / "pids", print) as supervisor:
            yield Books(cluster, supervisor, tmp_path / "postgres.log")


async def test_the_api_starts_without_its_database_and_finds_it_again_and_again(
    stopped_books: Books, tmp_path: Path
) -> None:
    settings = Settings(state=tmp_path, database_url=stopped_books.cluster.url(), temporal_address=NOWHERE)
    async with serving(settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:

        async def status() -> int:
            return (await http.get("/api/v1/servers", headers={"Authorization": "Bearer nobody"})).status_code

        async def answers() -> bool:
            return await status() == 401  # the key was looked for: only a database can say that it is none

        assert await status() == 503
        await stopped_books.start()
        await stopped_books.cluster.ensure_databases({"puchify": "puchify"})
        await migrate(stopped_books.cluster.url())
        await eventually(answers)

        await stopped_books.stop()
        away = await http.get("/api/v1/servers", headers={"Authorization": "Bearer nobody"})
        assert (away.status_code, away.json()["error"]["code"]) == (503, "unavailable")
        assert (await http.get("/healthz")).json() == {"database": False, "temporal": False}

        await stopped_books.start()
        await eventually(answers)


@pytest_asyncio.fixture
async def without_temporal(new_region: NewRegion) -> AsyncIterator[tuple[Region, httpx.AsyncClient]]:
    """A region whose API does not reach Temporal; everybody else does."""
    async with new_region() as region:
        cut_off = region.settings.model_copy(update={"temporal_address": NOWHERE})
        headers = {"Authorization": f"Bearer {region.token}"}
        async with (
            serving(cut_off) as url,
            httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=30) as http,
        ):
            yield region, http


async def test_an_order_that_temporal_does_not_take_is_taken_back(
    without_temporal: tuple[Region, httpx.AsyncClient],
) -> None:
    region, http = without_temporal
    body = {"name": "web", "server_type": "px1", "image": "tiny", "location": region.location}

    begun = time.monotonic()
    refused = await http.post("/servers", json=body, headers={"Idempotency-Key": "once"})

    assert time.monotonic() - begun < stories.ADMISSION / 2  # what refuses is not waited for
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert "workflow" not in refused.text
    for table in ("servers", "actions", "idempotency_keys"):
        assert await region.one(f"SELECT FROM {table} WHERE project_id = %s", region.project_id) is None, table

    async with serving(region.settings) as url:
        again = await http.post(f"{url}/api/v1/servers", json=body, headers={"Idempotency-Key": "once"})
    assert again.status_code == 201, again.text


async def test_a_delete_is_accepted_and_kept_for_the_sweep(
    without_temporal: tuple[Region, httpx.AsyncClient],
) -> None:
    region, http = without_temporal
    order = await region.create()

    accepted, repeated = [await http.delete(f"/servers/{order.server_id}") for _ in range(2)]

    assert (accepted.status_code, accepted.json()["action"]["status"]) == (200, "running")
    assert repeated.json()["action"]["id"] == accepted.json()["action"]["id"]
    server = await region.server(order)
    assert server is not None
    assert server["status"] == "deleting"
    assert (await http.get(f"/actions/{accepted.json()['action']['id']}/timeline")).status_code == 503

    async with serving(region.settings) as url:  # here Temporal is back
        await http.delete(f"{url}/api/v1/servers/{order.server_id}")
        await region.client.get_workflow_handle(delete_id(order.server_id)).result()
    await region.assert_nothing_left(order)


async def test_a_client_that_goes_away_gets_its_server_all_the_same(api: Api) -> None:
    body = b'{"name": "web", "server_type": "px1", "image": "tiny", "location": "%s"}' % api.region.location.encode()
    head = f"POST /api/v1/servers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.region.token}\r\n".encode()
    host, port = api.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.transport.abort()

    async def runs() -> bool:
        found = await api.region.one("SELECT status FROM servers WHERE project_id = %s", api.region.project_id)
        return found == {"status": "running"}

    await eventually(runs)
    await api.region.assert_balanced()
