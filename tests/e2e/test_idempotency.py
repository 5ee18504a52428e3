"""One key, one server, one answer: whoever asks, however often, and whatever dies in between."""

from __future__ import annotations

import asyncio

import httpx
from temporalio.service import RPCError

from infra.temporal.names import provision_id
from tests.fix_deployment import Deployment
from tests.fix_region import eventually


async def test_fifty_at_once_get_one_server_and_the_same_answer(deployment: Deployment) -> None:
    replies = await asyncio.gather(*(deployment.order("web", key="once") for _ in range(50)))

    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.content for reply in replies}) == 1
    assert await _servers(deployment) == [replies[0].json()["server"]["id"]]


async def test_the_api_killed_before_the_order_is_admitted(stopped_deployment: Deployment) -> None:
    deployment = stopped_deployment
    await deployment.start("api", "host")  # nobody admits the order, so the answer waits for its story
    body = {"name": "web", "server_type": "px1", "image": "tiny", "location": deployment.region.location}
    async with deployment.client() as http:
        asking = asyncio.create_task(http.post("/servers", json=body, headers={"Idempotency-Key": "once"}))
        (server_id,) = await eventually(lambda: _servers(deployment))
        await eventually(lambda: _has_begun(deployment, server_id))
        deployment.kill("api")
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], httpx.TransportError)
    await deployment.start("region")

    first, second = await deployment.order("web", key="once"), await deployment.order("web", key="once")

    assert first.status_code == 201
    assert first.content == second.content
    assert first.json()["server"]["id"] == server_id
    assert await _servers(deployment) == [server_id]


async def test_the_same_key_with_another_body_is_told_so(deployment: Deployment) -> None:
    await deployment.order("web", key="once")

    other = await deployment.order("other", key="once")

    assert other.status_code == 409
    assert "Idempotency-Key" in other.json()["error"]["message"]


async def test_an_order_whose_story_never_began_is_swept_up(stopped_deployment: Deployment) -> None:
    order = await stopped_deployment.region.order()

    await stopped_deployment.start()

    await eventually(lambda: _runs(stopped_deployment, order.server_id))


async def _has_begun(deployment: Deployment, server_id: int) -> bool:
    try:
        await deployment.region.client.get_workflow_handle(provision_id(server_id)).describe()
    except RPCError:
        return False
    return True


async def _runs(deployment: Deployment, server_id: int) -> bool:
    return await deployment.region.one("SELECT status FROM servers WHERE id = %s", server_id) == {"status": "running"}


async def _servers(deployment: Deployment) -> list[int]:
    found = await deployment.region.one(
        "SELECT array_agg(id) AS ids FROM servers WHERE project_id = %s", deployment.region.project_id
    )
    assert found is not None
    return found["ids"] or []
