"""What a repeated request is told in each state that its order may be in by then."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from infra.db import idempotency
from infra.drivers.simulated import Fault
from infra.temporal.names import provision_id
from tests.fix_api import Api
from tests.fix_region import eventually, serving_another_project


async def order(api: Api, name: str = "web", token: str | None = None) -> httpx.Response:
    body = {"name": name, "server_type": "px1", "image": "tiny", "location": api.region.location}
    headers = {"Idempotency-Key": "once", "Authorization": f"Bearer {token or api.region.token}"}
    return await api.http.post("/servers", json=body, headers=headers)


async def unanswered(api: Api) -> int:
    """An order that has run its course, as an API leaves it that dies before it writes its answer; the server's id."""
    server_id = int((await order(api)).json()["server"]["id"])
    await api.region.execute(
        "UPDATE idempotency_keys SET status = NULL, response = NULL WHERE project_id = %s", api.region.project_id
    )
    await asyncio.gather(
        api.region.client.get_workflow_handle(provision_id(server_id)).result(), return_exceptions=True
    )
    return server_id


async def gone(api: Api, server_id: int) -> bool:
    return await api.region.one("SELECT FROM servers WHERE id = %s", server_id) is None


async def test_an_order_that_succeeded_is_told_as_it_is_now(api: Api) -> None:
    server_id = await unanswered(api)

    first, second = await order(api), await order(api)

    assert (first.status_code, first.json()["server"]["id"]) == (201, server_id)
    assert first.json()["server"]["status"] == "running"
    assert first.content == second.content


async def test_an_order_that_failed_is_told_so_once_and_may_then_be_tried_anew(api: Api) -> None:
    api.region.host.inject(Fault("machines.define", error="ImageUnusable", count=None))
    server_id = await unanswered(api)
    api.region.host.clear()

    failed, anew = await order(api), await order(api)

    assert (failed.status_code, failed.json()["error"]["code"]) == (422, "image_unusable")
    assert anew.status_code == 201
    assert anew.json()["server"]["id"] > server_id


async def test_an_order_whose_server_was_deleted_is_not_made_again(api: Api) -> None:
    server_id = await unanswered(api)
    await api.http.delete(f"/servers/{server_id}")
    await eventually(lambda: gone(api, server_id))

    replies = [await order(api) for _ in range(2)]

    for reply in replies:
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")
        assert "deleted" in reply.json()["error"]["message"]


async def test_what_was_answered_stays_answered_whatever_became_of_the_server(api: Api) -> None:
    first = await order(api)
    await api.http.delete(f"/servers/{first.json()['server']['id']}")
    await eventually(lambda: gone(api, first.json()["server"]["id"]))

    again, other = await order(api), await order(api, "another-name")

    assert (again.status_code, again.content) == (201, first.content)
    assert other.status_code == 409


async def test_a_slow_request_is_told_what_its_repetition_was_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server fails while the first answer is on its way to the books, and a repetition hears of that first."""
    repetitions: list[httpx.Response] = []
    write = idempotency.write_answer

    async def late(connection: Any, key: Any, server_id: int, answer: Any) -> Any:
        monkeypatch.setattr(idempotency, "write_answer", write)
        await eventually(lambda: gone(api, server_id))
        repetitions.append(await order(api))
        return await write(connection, key, server_id, answer)

    monkeypatch.setattr(idempotency, "write_answer", late)
    api.region.host.inject(Fault("machines.define", error="ImageUnusable", count=None))

    slow = await order(api)

    assert [(reply.status_code, reply.content) for reply in repetitions] == [(422, slow.content)]
    assert slow.status_code == 422


async def test_a_key_belongs_to_its_project_and_a_token_that_may_only_look_makes_nothing(api: Api) -> None:
    async with (
        serving_another_project(api.region) as theirs,
        serving_another_project(api.region, read_only=True) as looking,
    ):
        mine, refused = await order(api), await order(api, token=looking)
        other = await order(api, "another-name", theirs)

    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_readonly")
    assert {mine.status_code, other.status_code} == {201}
    assert mine.json()["server"]["id"] != other.json()["server"]["id"]
