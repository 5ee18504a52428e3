"""Changes of resources: done once, carried out whatever happens, and the action says so."""

from __future__ import annotations

import asyncio

from infra.db import changes
from infra.domain.changes import Resource
from infra.temporal.names import region_queue
from tests.fix_api import Api
from tests.fix_region import eventually

PROTECT = {"delete": True, "rebuild": True}


async def test_a_protected_server_is_not_deleted_until_it_is_no_more(api: Api) -> None:
    id = (await api.create()).json()["server"]["id"]
    protecting = (await api.http.post(f"/servers/{id}/actions/change_protection", json=PROTECT)).json()["action"]
    refused = await api.http.delete(f"/servers/{id}")
    action = await api.succeeded(protecting["id"])
    freed = await api.http.post(f"/servers/{id}/actions/change_protection", json={"delete": False, "rebuild": False})
    deleting = await api.http.delete(f"/servers/{id}")

    assert action["command"] == "change_protection"
    assert action["resources"] == [{"id": id, "type": "server"}]
    assert (refused.status_code, refused.json()["error"]["code"]) == (423, "protected")
    assert (freed.status_code, deleting.status_code) == (201, 200)


async def test_a_repeated_change_is_one_action(api: Api) -> None:
    id = (await api.create()).json()["server"]["id"]
    key = {"Idempotency-Key": "once"}
    url = f"/servers/{id}/actions/change_protection"

    replies = await asyncio.gather(*(api.http.post(url, json=PROTECT, headers=key) for _ in range(5)))
    other = await api.http.post(url, json={"delete": False, "rebuild": False}, headers=key)

    assert {(reply.status_code, reply.content) for reply in replies} == {(201, replies[0].content)}
    assert other.status_code == 409
    listed = (await api.http.get(f"/servers/{id}/actions")).json()["actions"]
    assert [action["command"] for action in listed].count("change_protection") == 1


async def test_a_patient_change_answers_when_it_is_done(api: Api) -> None:
    id = (await api.create()).json()["server"]["id"]

    reply = await api.http.post(f"/servers/{id}/actions/change_protection", json=PROTECT, headers={"Prefer": "wait=30"})

    assert reply.json()["action"]["status"] == "success"


async def test_a_change_whose_story_was_not_begun_is_carried_out_by_the_sweep(api: Api) -> None:
    id = (await api.create()).json()["server"]["id"]
    region = api.region
    async with region.pool.connection() as connection:
        action, _ = await changes.accept(
            connection, region.project_id, region.location, "change_protection", [Resource("server", id)]
        )
        await connection.execute("UPDATE actions SET started = now() - interval '1 hour' WHERE id = %s", (action.id,))

    await region.client.execute_workflow(
        "SweepOrders", region.location, id=f"sweep-{region.location}", task_queue=region_queue(region.location)
    )

    await eventually(lambda: _ended(api, action.id))


async def _ended(api: Api, action_id: int) -> bool:
    return (await api.http.get(f"/actions/{action_id}")).json()["action"]["status"] == "success"
