"""Actions on the wire, as clients wait for them: exactly those that are asked for, also when their resource is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.api.refusals import fields_of
from tests.fix_api import Api


@pytest_asyncio.fixture(scope="module")
async def gone(module_api: Api) -> AsyncIterator[tuple[Api, int, list[int]]]:
    """A network that was changed thirty times and deleted; its id and those of its actions."""
    made = await module_api.http.post("/networks", json={"name": "gone", "ip_range": "10.0.0.0/16"})
    network, ids = made.json()["network"]["id"], []
    for number in range(30):
        body = {"delete": number % 2 == 0}
        reply = await module_api.http.post(f"/networks/{network}/actions/change_protection", json=body)
        ids.append(reply.json()["action"]["id"])
    for id in ids:
        await module_api.succeeded(id)
    assert (await module_api.http.delete(f"/networks/{network}")).status_code == 204
    yield module_api, network, ids


Gone = tuple[Api, int, list[int]]


async def test_all_that_are_asked_for_come_on_the_first_page(gone: Gone) -> None:
    """As hcloud-go asks, which takes any other number of answers for a failure."""
    api, _, ids = gone
    for asked in (ids[:1], ids[:25], ids):
        told = await api.listed("/actions", id=asked, page=1, sort=["status", "id"])
        assert [one["id"] for one in told["actions"]] == asked
        assert told["meta"]["pagination"]["next_page"] is None


async def test_those_of_nobody_are_left_out_and_one_asked_twice_comes_once(gone: Gone) -> None:
    api, _, ids = gone
    told = await api.listed("/actions", id=[ids[0], ids[0], 10**12, 2**70])

    assert [one["id"] for one in told["actions"]] == ids[:1]


async def test_an_action_says_null_for_what_it_has_not(gone: Gone) -> None:
    api, network, ids = gone
    told = (await api.http.get(f"/actions/{ids[0]}")).json()["action"]

    assert (told["status"], told["progress"], told["error"]) == ("success", 100, None)
    assert told["resources"] == [{"id": network, "type": "network"}]
    assert told["finished"] >= told["started"]


async def test_a_client_that_waits_reloads_what_has_ended_already(gone: Gone) -> None:
    api, _, ids = gone
    action = await asyncio.to_thread(api.hcloud.actions.get_by_id, ids[0])
    await asyncio.to_thread(action.wait_until_finished)

    assert action.status == "success"


async def test_the_list_of_a_kind_tells_of_what_is_gone_and_the_list_of_one_is_gone_with_it(gone: Gone) -> None:
    api, network, ids = gone
    of_all = await asyncio.to_thread(api.hcloud.networks.actions.get_all, status=["success"], sort=["id:desc"])
    of_one = await api.http.get(f"/networks/{network}/actions")
    one = await api.http.get(f"/networks/actions/{ids[0]}")

    assert [one.id for one in of_all if one.command == "change_protection"][:30] == ids[::-1]
    assert (of_one.status_code, of_one.json()["error"]["code"]) == (404, "not_found")
    assert one.json()["action"]["id"] == ids[0]


async def test_an_action_is_found_under_its_own_kind_only(gone: Gone) -> None:
    api, network, ids = gone
    own = await api.http.get(f"/networks/{network}/actions/{ids[0]}")
    others = [
        await api.http.get(path) for path in (f"/servers/actions/{ids[0]}", f"/networks/{network + 1}/actions/{ids[0]}")
    ]

    assert own.json()["action"]["id"] == ids[0]
    assert [reply.status_code for reply in others] == [404, 404]
    assert (await api.listed("/servers/actions", id=ids))["actions"] == []


async def test_statuses_that_are_none_are_passed_over(gone: Gone) -> None:
    api, _, ids = gone

    assert len((await api.listed("/actions", id=ids, status=["running", "error"]))["actions"]) == 0
    assert len((await api.listed("/actions", id=ids, status=["25"]))["actions"]) == 30


@pytest.mark.parametrize("query", [{}, {"status": "running"}, {"page": 1, "sort": "id"}])
async def test_all_actions_are_no_longer_listed(module_api: Api, query: dict[str, Any]) -> None:
    reply = await module_api.http.get("/actions", params=query)

    assert (reply.status_code, reply.json()["error"]["code"]) == (410, "deprecated_api_endpoint")


@pytest.mark.parametrize("path", ["/actions/0", "/actions/-1", "/actions/x", f"/actions/{2**70}", "/actions/1.5"])
async def test_what_is_no_id_is_named(module_api: Api, path: str) -> None:
    reply = await module_api.http.get(path)

    assert fields_of(reply) == ["id"]
