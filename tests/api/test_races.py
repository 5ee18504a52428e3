"""Requests at once: of two that cannot both be, one is; what comes of many is what some order of them would give."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.api.refusals import outcome_of
from tests.fix_api import Api

TIMES = 200


async def test_of_many_servers_of_one_name_one_is_made(module_api: Api) -> None:
    replies = await asyncio.gather(*(module_api.create("the-one", start_after_create=False) for _ in range(TIMES)))

    assert Counter(map(outcome_of, replies)) == {"201": 1, "uniqueness_error": TIMES - 1}
    found = (await module_api.http.get("/servers", params={"name": "the-one"})).json()["servers"]
    assert len(found) == 1
    for reply in replies:
        if reply.status_code == 201:
            await module_api.succeeded(reply.json()["action"]["id"])
    await module_api.region.assert_balanced()


async def test_of_changes_at_once_the_last_one_stands_as_a_whole(module_api: Api) -> None:
    id = await _group(module_api, "changed")
    wishes = [{"name": f"changed-{n}", "labels": {"n": str(n)}} for n in range(50)]

    replies = await asyncio.gather(*(module_api.http.put(f"/placement_groups/{id}", json=wish) for wish in wishes))
    left = (await module_api.http.get(f"/placement_groups/{id}")).json()["placement_group"]

    assert {reply.status_code for reply in replies} == {200}
    assert {"name": left["name"], "labels": left["labels"]} in wishes


async def test_of_changes_to_one_name_one_is_granted(module_api: Api) -> None:
    ids = [await _group(module_api, f"rival-{n}") for n in range(20)]

    replies = await asyncio.gather(
        *(module_api.http.put(f"/placement_groups/{id}", json={"name": "prize"}) for id in ids)
    )

    assert Counter(map(outcome_of, replies)) == {"200": 1, "uniqueness_error": len(ids) - 1}


async def test_a_thing_is_deleted_once_whoever_changes_it_meanwhile(module_api: Api) -> None:
    id = await _group(module_api, "going")
    path = f"/placement_groups/{id}"

    replies = await asyncio.gather(
        *(module_api.http.delete(path) for _ in range(10)),
        *(module_api.http.put(path, json={"labels": {"n": str(n)}}) for n in range(10)),
    )

    assert Counter(map(outcome_of, replies[:10])) == {"204": 1, "not_found": 9}
    assert set(map(outcome_of, replies[10:])) <= {"200", "not_found"}
    assert (await module_api.http.get(path)).status_code == 404


async def test_a_delete_and_a_power_change_at_once_end_in_nothing(module_api: Api) -> None:
    created = (await module_api.create("fought-over")).json()
    await module_api.succeeded(created["action"]["id"])
    path = f"/servers/{created['server']['id']}"

    deleting, *others = await asyncio.gather(
        module_api.http.delete(path),
        *(module_api.http.post(f"{path}/actions/poweroff") for _ in range(5)),
        *(module_api.http.put(path, json={"labels": {"n": str(n)}}) for n in range(5)),
    )
    await module_api.succeeded(deleting.json()["action"]["id"])

    assert set(map(outcome_of, others)) <= {"200", "201", "locked", "not_found"}
    assert (await module_api.http.get(path)).status_code == 404
    await module_api.region.assert_balanced()


async def _group(api: Api, name: str) -> int:
    reply = await api.http.post("/placement_groups", json={"name": name, "type": "spread"})
    return int(reply.json()["placement_group"]["id"])
