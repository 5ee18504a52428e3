"""The network between the API and Temporal is cut, stalls, or loses answers: an order stands whole, or not at all.

Everybody else reaches Temporal. With and without an Idempotency-Key the outcome is the same; what a key adds is that
the same request can be made again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from api import stories
from infra.temporal.names import delete_id, provision_id, region_queue
from tests.fix_api import serving
from tests.fix_region import NewRegion, Region, eventually, working_host
from tests.link import Link, tcp_link
from workers.region import region_worker

NOWHERE = "127.0.0.1:9"
PATIENCE = 5.0  # seconds for an admission here, which are 30 in the product
BEGIN, DELETE = b"-provision", b"-delete"  # what a request for a story has in it

keyed_or_not = pytest.mark.parametrize("key", ["once", None])


@dataclass
class Apart:
    """An API that reaches Temporal over a link."""

    region: Region
    link: Link
    http: httpx.AsyncClient

    async def post(self, key: str | None = None) -> httpx.Response:
        return await post(self.http, self.region, key)

    async def repeated(self, key: str | None, reply: httpx.Response) -> None:
        """Whoever repeats an order with its key reads the same; without one the name is taken."""
        again = await self.post(key)
        if key:
            assert (again.status_code, again.content) == (201, reply.content)
        else:
            assert (again.status_code, again.json()["error"]["code"]) == (409, "uniqueness_error")


async def post(http: httpx.AsyncClient, region: Region, key: str | None) -> httpx.Response:
    body = {"name": "web", "server_type": "px1", "image": "tiny", "location": region.location}
    return await http.post("/servers", json=body, headers={"Idempotency-Key": key} if key else {})


@asynccontextmanager
async def asking(region: Region, temporal_address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API of its own."""
    settings = region.settings.model_copy(update={"temporal_address": temporal_address})
    headers = {"Authorization": f"Bearer {region.token}"}
    async with (
        serving(settings) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=120) as http,
    ):
        yield http


@asynccontextmanager
async def apart_from_temporal(region: Region) -> AsyncIterator[Apart]:
    async with (
        tcp_link(region.settings.temporal_address) as (link, address),
        asking(region, address) as http,
    ):
        assert (await http.get("/servers")).json()["servers"] == []
        yield Apart(region, link, http)


@pytest_asyncio.fixture
async def apart(region: Region, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Apart]:
    monkeypatch.setattr(stories, "ADMISSION", PATIENCE)
    monkeypatch.setattr(stories, "BEGINNING", 1.0)
    async with apart_from_temporal(region) as apart:
        yield apart


@pytest_asyncio.fixture
async def idle(new_region: NewRegion, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Apart]:
    """Where nobody works yet: a story begins, and touches nothing."""
    monkeypatch.setattr(stories, "ADMISSION", PATIENCE)
    async with new_region(workers=False) as region, apart_from_temporal(region) as apart:
        yield apart


@keyed_or_not
async def test_a_cut_that_heals_at_once_is_bridged(apart: Apart, key: str | None) -> None:
    apart.link.when(BEGIN, apart.link.cut)
    replying = asyncio.create_task(apart.post(key))
    await eventually(lambda: asyncio.sleep(0, apart.link.is_cut))
    apart.link.heal()

    reply = await replying

    assert reply.status_code == 201, reply.text
    await apart.repeated(key, reply)
    await one_server_runs(apart.region, id_of(reply))


@keyed_or_not
async def test_a_cut_that_lasts_leaves_nothing(apart: Apart, key: str | None) -> None:
    apart.link.when(BEGIN, apart.link.cut)
    begun = time.monotonic()

    refused = await apart.post(key)

    assert time.monotonic() - begun < PATIENCE + 60
    assert_unavailable(refused)
    await assert_nothing_in_the_books(apart.region)
    apart.link.heal()
    reply = await apart.post(key)
    await one_server_runs(apart.region, id_of(reply))


@keyed_or_not
async def test_an_admission_whose_answer_is_lost_stands(apart: Apart, key: str | None) -> None:
    apart.link.when(BEGIN, apart.link.deafen)

    reply = await apart.post(key)

    assert reply.status_code == 201, reply.text
    assert reply.json()["server"]["public_net"]["ipv4"]["ip"]
    apart.link.heal()
    await apart.repeated(key, reply)
    await one_server_runs(apart.region, id_of(reply))


@keyed_or_not
@pytest.mark.parametrize("trouble", ["deafen", "stall"])
async def test_an_order_that_was_taken_back_comes_to_nothing_however_late_it_begins(
    idle: Apart, trouble: str, key: str | None
) -> None:
    region, link = idle.region, idle.link
    link.when(BEGIN, getattr(link, trouble))

    refused = await idle.post(key)

    assert_unavailable(refused)
    await assert_nothing_in_the_books(region)
    link.heal()
    async with at_work(region):
        reply = await idle.post(key)
        await one_server_runs(region, id_of(reply))
        await eventually(lambda: story_ended(region, id_of(reply) - 1))
        await one_server_runs(region, id_of(reply))


async def test_whoever_waits_for_an_order_that_another_takes_back_is_told_to_try_again(
    idle: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = idle.region
    async with asking(region, region.settings.temporal_address) as healthy, asking(region, NOWHERE) as cut_off:
        monkeypatch.setattr(stories, "ADMISSION", 100.0)  # longer than everybody needs to be at work
        waiting = asyncio.create_task(post(healthy, region, "once"))
        server = await eventually(lambda: region.one("SELECT id FROM servers WHERE project_id = %s", region.project_id))
        await eventually(lambda: story_is(region, server["id"], WorkflowExecutionStatus.RUNNING))
        assert_unavailable(await post(cut_off, region, "once"))

        async with at_work(region):
            assert_unavailable(await waiting)
            reply = await post(healthy, region, "once")
            assert reply.status_code == 201, reply.text
            await one_server_runs(region, id_of(reply))


async def test_a_delete_during_a_cut_is_done_by_the_sweep(apart: Apart) -> None:
    region = apart.region
    running, unbegun = await region.create(), await region.order()
    apart.link.cut()

    replies = [await apart.http.delete(f"/servers/{order.server_id}") for order in (running, running, unbegun)]

    assert {(reply.status_code, reply.json()["action"]["status"]) for reply in replies} == {(200, "running")}
    assert replies[0].json()["action"]["id"] == replies[1].json()["action"]["id"]
    await region.execute(
        "UPDATE actions SET started = now() - interval '1 minute' WHERE project_id = %s", region.project_id
    )
    await region.client.execute_workflow(
        "SweepOrders", region.location, id=f"sweep-{region.location}", task_queue=region_queue(region.location)
    )
    for order in (running, unbegun):
        await region.client.get_workflow_handle(delete_id(order.server_id)).result()
        await region.assert_nothing_left(order)
    assert (
        await region.one("SELECT FROM actions WHERE project_id = %s AND status = 'running'", region.project_id) is None
    )


async def test_a_delete_whose_answer_is_lost_is_done_at_once(apart: Apart) -> None:
    order = await apart.region.create()
    apart.link.when(DELETE, apart.link.deafen)

    reply = await apart.http.delete(f"/servers/{order.server_id}")

    assert (reply.status_code, reply.json()["action"]["status"]) == (200, "running")
    await apart.region.client.get_workflow_handle(delete_id(order.server_id)).result()
    await apart.region.assert_nothing_left(order)


@asynccontextmanager
async def at_work(region: Region) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(region_worker(region.client, region.pool, region.settings))
        for host_id in region.hosts:
            await stack.enter_async_context(working_host(region, host_id))
        yield


def assert_unavailable(reply: httpx.Response) -> None:
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable"), reply.text
    assert not any(word in reply.text for word in ("workflow", "activity", "temporal", "queue"))


async def assert_nothing_in_the_books(region: Region) -> None:
    for table in ("servers", "actions", "idempotency_keys"):
        assert await region.one(f"SELECT FROM {table} WHERE project_id = %s", region.project_id) is None, table


def id_of(reply: httpx.Response) -> int:
    assert reply.status_code == 201, reply.text
    return int(reply.json()["server"]["id"])


async def one_server_runs(region: Region, server_id: int) -> None:
    """This one, and nothing is held for another."""

    async def runs() -> bool:
        return await region.one("SELECT FROM servers WHERE id = %s AND status = 'running'", server_id) is not None

    await eventually(runs)
    ids = await region.one("SELECT array_agg(id) AS ids FROM servers WHERE project_id = %s", region.project_id)
    assert ids == {"ids": [server_id]}
    assert region.host.inventory().machines == {server_id: True}
    await region.assert_balanced()


async def story_ended(region: Region, server_id: int) -> bool:
    """It never began, or it failed."""
    return await story_is(region, server_id, None) or await story_is(region, server_id, WorkflowExecutionStatus.FAILED)


async def story_is(region: Region, server_id: int, status: WorkflowExecutionStatus | None) -> bool:
    try:
        told = await region.client.get_workflow_handle(provision_id(server_id)).describe()
    except RPCError:
        return status is None
    return told.status is status
