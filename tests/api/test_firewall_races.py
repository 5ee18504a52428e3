"""Firewalls that are applied, removed and deleted at once: whoever comes first, what is told afterwards is so."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.api.refusals import outcome_of
from tests.fix_api import Api
from tests.fix_region import eventually


async def test_a_server_takes_five_firewalls_however_many_come_at_once(module_api: Api) -> None:
    api = module_api
    created = (await api.create("sought-after", start_after_create=False)).json()
    server = created["server"]["id"]
    await api.succeeded(created["action"]["id"])
    ids = [await _firewall(api, f"suitor-{n}") for n in range(8)]
    to = {"apply_to": [{"type": "server", "server": {"id": server}}]}

    replies = await asyncio.gather(
        *(api.http.post(f"/firewalls/{id}/actions/apply_to_resources", json=to) for id in ids)
    )

    assert Counter(map(outcome_of, replies)) == {"201": 5, "resource_limit_exceeded": 3}
    assert len((await api.http.get(f"/servers/{server}")).json()["server"]["public_net"]["firewalls"]) == 5
    deleting = (await api.http.delete(f"/servers/{server}")).json()
    await api.succeeded(deleting["action"]["id"])
    gone = await asyncio.gather(*(api.http.delete(f"/firewalls/{id}") for id in ids))
    assert Counter(map(outcome_of, gone)) == {"204": 8}


async def test_a_firewall_is_deleted_or_applied_never_both(module_api: Api) -> None:
    api = module_api
    created = (await api.create("contested", start_after_create=False)).json()
    server = created["server"]["id"]
    await api.succeeded(created["action"]["id"])
    to = {"apply_to": [{"type": "server", "server": {"id": server}}]}

    for turn in range(5):
        id = await _firewall(api, f"contested-{turn}")
        path = f"/firewalls/{id}"
        applied, deleted = await asyncio.gather(
            api.http.post(f"{path}/actions/apply_to_resources", json=to), api.http.delete(path)
        )

        answers = outcome_of(applied), outcome_of(deleted)
        assert answers in {("201", "resource_in_use"), ("not_found", "204")}
        there = (await api.http.get(f"/servers/{server}")).json()["server"]["public_net"]["firewalls"]
        assert [one["id"] for one in there] == ([id] if answers[0] == "201" else [])
        if answers[0] == "201":
            removed = await api.http.post(f"{path}/actions/remove_from_resources", json={"remove_from": to["apply_to"]})
            for action in removed.json()["actions"]:
                await api.succeeded(action["id"])
            assert (await api.http.delete(path)).status_code == 204
    await api.succeeded((await api.http.delete(f"/servers/{server}")).json()["action"]["id"])


async def test_a_server_goes_while_firewalls_come_and_go(module_api: Api) -> None:
    api = module_api
    ids = [await _firewall(api, f"late-{n}") for n in range(4)]
    created = (await api.create("leaving", start_after_create=False, firewalls=[{"firewall": ids[0]}])).json()
    server = created["server"]["id"]
    await api.succeeded(created["action"]["id"])
    target = [{"type": "server", "server": {"id": server}}]

    deleting, *others = await asyncio.gather(
        api.http.delete(f"/servers/{server}"),
        api.http.post(f"/firewalls/{ids[0]}/actions/remove_from_resources", json={"remove_from": target}),
        *(api.http.post(f"/firewalls/{id}/actions/apply_to_resources", json={"apply_to": target}) for id in ids[1:]),
    )
    await api.succeeded(deleting.json()["action"]["id"])

    assert set(map(outcome_of, others)) <= {"201", "firewall_resource_not_found"}
    begun = [action["id"] for reply in others for action in reply.json().get("actions", [])]
    assert {await _ended(api, id) for id in begun} <= {"success", "server_deleted"}
    gone = await asyncio.gather(*(api.http.delete(f"/firewalls/{id}") for id in ids))
    assert Counter(map(outcome_of, gone)) == {"204": 4}
    await api.region.assert_balanced()


async def test_a_server_is_ordered_with_a_firewall_or_the_firewall_is_deleted(module_api: Api) -> None:
    api = module_api
    for turn in range(5):
        id = await _firewall(api, f"wanted-{turn}")
        ordered, deleted = await asyncio.gather(
            api.create(f"wanting-{turn}", start_after_create=False, firewalls=[{"firewall": id}]),
            api.http.delete(f"/firewalls/{id}"),
        )

        answers = outcome_of(ordered), outcome_of(deleted)
        assert answers in {("201", "resource_in_use"), ("invalid_input", "204"), ("conflict", "204")}
        if ordered.is_success:
            await api.succeeded(ordered.json()["action"]["id"])
            path = f"/servers/{ordered.json()['server']['id']}"
            there = (await api.http.get(path)).json()["server"]["public_net"]["firewalls"]
            assert [one["id"] for one in there] == [id]
            await api.succeeded((await api.http.delete(path)).json()["action"]["id"])
            assert (await api.http.delete(f"/firewalls/{id}")).status_code == 204
    await api.region.assert_balanced()


async def _firewall(api: Api, name: str) -> int:
    return int((await api.http.post("/firewalls", json={"name": name})).json()["firewall"]["id"])


async def _ended(api: Api, action: int) -> str:
    """How: well, or with which code."""

    async def ended() -> str | None:
        told = (await api.http.get(f"/actions/{action}")).json()["action"]
        return None if told["status"] == "running" else (told["error"] or {}).get("code", "success")

    return str(await eventually(ended))
