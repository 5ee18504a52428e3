"""What hosts ask: only with their own key, only about themselves, and secrets only under the newest claim."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.fix_api import Api
from tests.fix_region import host_key

REPORT = {
    "cores": 8,
    "memory_mib": 16384,
    "disk_gib": 100,
    "free_memory_mib": 9000,
    "free_disk_gib": 70,
    "cpu_busy": 0.5,
    "io_wait": 0.25,
    "net_saturation": 0.125,
}
DETAILS = {
    "facts": {"kvm": True, "versions": {"kernel": "6.1"}},
    "images": ["a" * 64],
    "links": {"eth0": {"speed_mbit": 10000, "received": 0.5, "sent": None}},
    "problems": [],
}
WRONG: dict[str, object] = {
    "cores": "many",
    "memory_mib": -1,
    "disk_gib": 1.5,
    "cpu_busy": 1.01,
    "io_wait": "much",
    "driver": "x" * 257,
    "facts": {"kernel": ["6.1"]},
    "images": [7],
    "links": {"eth0": {"received": 2}},
    "holds": {"1": "disk"},
    "states": {"1": "burning"},
    "heard": {"1": -1},
    "turned": {"1": {"state": "off"}},
    "problems": "all of them",
}


def asking(api: Api, token: str) -> httpx.AsyncClient:
    (host_id,) = api.region.hosts
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=f"{api.url}/internal/v1/hosts/{host_id}", headers=headers, timeout=30)


async def test_a_report_is_recorded_with_our_own_time(api: Api) -> None:
    (host_id,) = api.region.hosts
    async with asking(api, host_key(api.region, host_id)) as http:
        assert (await http.post("/report", json={**REPORT, **DETAILS})).status_code == 200

    row = await api.region.one(
        f"SELECT {', '.join(REPORT)}, reported > now() - interval '5 s' AS fresh FROM hosts WHERE id = %s", host_id
    )
    assert row == {**REPORT, "fresh": True}
    details = await api.region.one(f"SELECT {', '.join(DETAILS)} FROM host_details WHERE host_id = %s", host_id)
    assert details == DETAILS


async def test_what_a_host_holds_is_recorded_with_its_report(api: Api) -> None:
    (host_id,) = api.region.hosts
    wrong = [{"0": []}, {"x": []}, {"1": ["engine"]}, {"1": "disk"}, {str(number): [] for number in range(1, 10_002)}]
    async with asking(api, host_key(api.region, host_id)) as http:
        told = await http.post("/report", json={**REPORT, "holds": {"17": ["machine", "disk"], "18": ["seed"]}})
        await http.post("/report", json=REPORT)  # of a host that cannot tell now
        refused = [(await http.post("/report", json={**REPORT, "holds": holds})).json() for holds in wrong]

    assert told.status_code == 200
    assert [reply["error"]["code"] for reply in refused] == ["invalid_input"] * len(wrong)
    row = await api.region.one(
        "SELECT json_object_agg(server_id, parts) AS holds FROM host_holdings WHERE host_id = %s", host_id
    )
    assert row == {"holds": {"17": ["machine", "disk"], "18": ["seed"]}}


@pytest.mark.parametrize("field", WRONG)
async def test_a_wrong_report_is_refused(api: Api, field: str) -> None:
    (host_id,) = api.region.hosts
    async with asking(api, host_key(api.region, host_id)) as http:
        reply = await http.post("/report", json={**REPORT, field: WRONG[field]})

    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (422, "invalid_input")
    assert {told["name"].split(".")[0] for told in error["details"]["fields"]} == {field}


async def test_a_report_that_the_books_cannot_keep_is_refused(api: Api) -> None:
    (host_id,) = api.region.hosts
    unkept = ['{"kernel": "6.1\\u0000"}', '{"kernel": "\\ud800"}', '{"kernel": NaN}', '{"a\\u0000": 1}']
    body = json.dumps(REPORT).removesuffix("}")
    async with asking(api, host_key(api.region, host_id)) as http:
        replies = [await http.post("/report", content=f'{body}, "facts": {facts}}}') for facts in unkept]

    assert [reply.status_code in (400, 422) for reply in replies] == [True] * len(unkept)


async def test_nobody_else_is_answered(api: Api) -> None:
    (host_id,) = api.region.hosts
    key = host_key(api.region, host_id)
    for token, status in (("wrong", 401), (api.region.token, 401)):
        async with asking(api, token) as http:
            replies = [
                await http.get("/claims"),
                await http.get("/seeds/1?epoch=1"),
                await http.post("/report", json=REPORT),
            ]
            assert [reply.status_code for reply in replies] == [status] * 3
    async with asking(api, key) as http:
        other = await http.get(f"{api.url}/internal/v1/hosts/{host_id + 1}/claims")
        wire = await http.get(f"{api.url}/api/v1/servers")
    assert (other.status_code, other.json()["error"]["code"]) == (403, "forbidden")
    assert wire.status_code == 401  # a host's key is no user's


async def test_a_seed_is_read_under_the_newest_claim_only(api: Api) -> None:
    (host_id,) = api.region.hosts
    told = (await api.create(user_data="#!/bin/sh\necho secret\n")).json()
    await api.succeeded(told["next_actions"][0]["id"])
    server_id = told["server"]["id"]
    async with asking(api, host_key(api.region, host_id)) as http:
        (claim,) = (await http.get("/claims")).json()["claims"]
        epoch = claim["machine"]["epoch"]
        seed = (await http.get(f"/seeds/{server_id}", params={"epoch": epoch})).json()
        stale = [await http.get(f"/seeds/{server_id}", params={"epoch": epoch + by}) for by in (-1, 1)]

    assert (claim["machine"]["server_id"], claim["runs"]) == (server_id, True)
    assert "echo secret" in seed["user_data"]
    assert f"i-{server_id}" in seed["meta_data"]
    assert told["server"]["public_net"]["ipv4"]["ip"] in json.dumps(seed["network_config"])
    assert [reply.status_code for reply in stale] == [404, 404]
