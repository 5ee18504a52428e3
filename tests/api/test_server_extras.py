"""What servers do not do is said so, by name; and why one is where it is, and what was done to it, is told."""

from __future__ import annotations

from typing import Any

import pytest

from infra.domain.placement import FILTERS, TERMS
from tests.api.test_servers import created
from tests.fix_api import Api

ABSENT = {
    "reset_password": None,
    "enable_rescue": {"type": "linux64", "ssh_keys": []},
    "create_image": {"type": "snapshot", "description": None},
    "rebuild": {"image": "tiny"},
    "change_type": {"server_type": "px2", "upgrade_disk": False},
    "enable_backup": None,
    "attach_iso": {"iso": "any"},
    "request_console": None,
}


async def test_what_is_not_supported_is_said_of_a_server_that_is_there(module_api: Api) -> None:
    server = await created(module_api, "absent", start_after_create=False)
    for word, body in ABSENT.items():
        reply = await module_api.http.post(f"/servers/{server['id']}/actions/{word}", json=body)
        gone = await module_api.http.post(f"/servers/{server['id'] + 10**6}/actions/{word}")

        assert (reply.status_code, reply.json()["error"]["code"]) == (422, "unsupported_error"), word
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found"), word
    when = {"type": "cpu", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    metrics = await module_api.http.get(f"/servers/{server['id']}/metrics", params=when)
    assert (metrics.status_code, metrics.json()["error"]["code"]) == (422, "unsupported_error")


@pytest.mark.parametrize("word", ["disable_rescue", "disable_backup", "detach_iso"])
async def test_what_is_never_on_is_switched_off(module_api: Api, word: str) -> None:
    server = await created(module_api, word.replace("_", "-"), start_after_create=False)

    reply = await module_api.http.post(f"/servers/{server['id']}/actions/{word}")

    action = await module_api.succeeded(reply.json()["action"]["id"])
    assert action["command"] == word
    assert (await module_api.http.post(f"/servers/{server['id'] + 10**6}/actions/{word}")).status_code == 404


async def test_a_placement_is_explained_without_naming_hosts(module_api: Api) -> None:
    server = await created(module_api, "placed")

    reply = await module_api.http.get(f"/servers/{server['id']}/placement")

    told = reply.json()["placement"]
    assert told["candidates"] == 1
    assert [one["chosen"] for one in told["best"]] == [True]
    assert tuple(told["best"][0]["terms"]) == TERMS
    assert told["dropped"] == dict.fromkeys(FILTERS, 0)
    assert tuple(told["dropped"]) == tuple(FILTERS)
    assert "host" not in reply.text


async def test_a_server_that_is_on_no_host_has_no_placement(module_api: Api) -> None:
    order = await module_api.region.order("nowhere")

    reply = await module_api.http.get(f"/servers/{order.server_id}/placement")

    assert reply.json() == {"placement": None}


async def test_a_servers_timeline_has_every_action_with_its_steps(module_api: Api) -> None:
    server = await created(module_api, "timed")
    body = {"delete": True, "rebuild": True}
    changed = await module_api.http.post(f"/servers/{server['id']}/actions/change_protection", json=body)
    await module_api.succeeded(changed.json()["action"]["id"])

    told = (await module_api.http.get(f"/servers/{server['id']}/timeline", params={"per_page": 2})).json()
    rest = (await module_api.http.get(f"/servers/{server['id']}/timeline", params={"per_page": 2, "page": 2})).json()

    names: list[Any] = [one["action"]["command"] for one in (*told["timeline"], *rest["timeline"])]
    assert names == ["create_server", "start_server", "change_protection"]
    assert told["meta"]["pagination"]["total_entries"] == 3
    assert "wait_ready" in [step["name"] for step in told["timeline"][0]["steps"]]
    *beside, last = [step["name"] for step in rest["timeline"][0]["steps"]]
    assert (set(beside), last) == ({"follow_change", "read_affected"}, "finish_change")


async def test_a_server_is_protected_from_both_or_neither(module_api: Api) -> None:
    server = await created(module_api, "kept", start_after_create=False)
    path = f"/servers/{server['id']}"

    half = await module_api.http.post(f"{path}/actions/change_protection", json={"delete": True})
    both = await module_api.http.post(f"{path}/actions/change_protection", json={"delete": True, "rebuild": True})

    assert half.json()["error"]["code"] == "invalid_input"
    assert both.status_code == 201
    shown = (await module_api.http.get(path)).json()["server"]["protection"]
    assert shown == {"delete": True, "rebuild": True}
