"""What hosts ask: only with their own key, only about themselves, and secrets only under the newest claim."""

from __future__ import annotations

import json

import httpx
import pytest

from infra.db.built_images import NewImage, register_image
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
HINDRANCE = "the image store does not answer"
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


async def test_a_hindrance_is_told_and_keeps_no_server_away(api: Api) -> None:
    (host_id,) = api.region.hosts
    async with asking(api, host_key(api.region, host_id)) as http:
        told = {**REPORT, **DETAILS, "hindrances": [HINDRANCE]}
        assert (await http.post("/report", json=told)).status_code == 200
    row = await api.region.one(
        "SELECT problems, silent FROM host_details JOIN hosts ON hosts.id = host_id WHERE host_id = %s", host_id
    )
    assert row == {"problems": [HINDRANCE], "silent": None}


async def test_a_host_learns_which_images_are_worth_having(api: Api) -> None:
    """Of its architecture: system images, those used most first; then what is popular in its location."""
    (host_id,) = api.region.hosts
    region = api.region

    def digest(digit: str) -> str:
        return f"{region.location_id:x}{digit}".rjust(64, "0")

    async with region.pool.connection() as connection:
        unused, other, doubted = [
            await register_image(connection, NewImage(f"{region.location}-{name}", digest(digit), 1, name, **more))
            for name, digit, more in (("unused", "a", {}), ("arm", "b", {"architecture": "arm"}), ("bad", "c", {}))
        ]
        made = "INSERT INTO images (project_id, type, description, digest, disk_gib) VALUES (%s, 'snapshot', %s, %s, 1)"
        for digit in "de":
            await connection.execute(made, (region.project_id, f"snapshot {digit}", digest(digit)))
    await region.execute("UPDATE images SET doubted = now() WHERE id = %s", doubted)
    await region.order()
    snapshot = await region.one("SELECT id FROM images WHERE digest = %s", digest("d"))
    assert snapshot is not None
    await region.order("of-a-snapshot", image_id=snapshot["id"])

    async with asking(api, host_key(region, host_id)) as http:
        told = (await http.get("/images")).json()["images"]

    ids = [image["id"] for image in told]
    assert ids.index(region.image_id) < ids.index(unused) < ids.index(snapshot["id"]) == len(ids) - 1
    assert {other, doubted}.isdisjoint(ids)
    assert told[-1]["name"] == "snapshot d"
    await region.execute(
        "UPDATE images SET deleted = now(), superseded = now() WHERE id = ANY(%s)", [unused, other, doubted]
    )


async def test_a_host_that_doubts_an_image_is_heard_once(api: Api) -> None:
    (host_id,) = api.region.hosts
    async with api.region.pool.connection() as connection:
        image_id = await register_image(connection, NewImage(f"{api.region.location}-doubted", "9" * 64, 1, "doubted"))
    moments = []
    async with asking(api, host_key(api.region, host_id)) as http:
        for _ in range(2):
            assert (await http.post("/doubts", json={"digest": "9" * 64})).status_code == 200
            moments.append(await api.region.one("SELECT doubted FROM images WHERE id = %s", image_id))
        unknown = await http.post("/doubts", json={"digest": "8" * 64})
        wrong = await http.post("/doubts", json={"digest": "../../etc"})
    assert moments[0] == moments[1] != {"doubted": None}
    assert (unknown.status_code, wrong.status_code) == (200, 422)


async def test_nobody_else_is_answered(api: Api) -> None:
    (host_id,) = api.region.hosts
    key = host_key(api.region, host_id)
    for token, status in (("wrong", 401), (api.region.token, 401)):
        async with asking(api, token) as http:
            replies = [
                await http.get("/claims"),
                await http.get("/images"),
                await http.post("/doubts", json={"digest": "9" * 64}),
                await http.get("/seeds/1?epoch=1"),
                await http.get("/guests/1"),
                await http.post("/report", json=REPORT),
            ]
            assert [reply.status_code for reply in replies] == [status] * 6
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


async def test_a_guest_is_told_of_to_its_host_only(api: Api) -> None:
    (host_id,) = api.region.hosts
    subnet = {"type": "cloud", "network_zone": await api.network_zone(), "ip_range": "10.3.1.0/24"}
    made = await api.http.post("/networks", json={"name": "shop", "ip_range": "10.3.0.0/16", "subnets": [subnet]})
    network = made.json()["network"]
    told = (await api.create(user_data="#!/bin/sh\necho ä\n", networks=[network["id"]])).json()
    await api.succeeded(told["next_actions"][0]["id"])
    server_id = told["server"]["id"]
    async with asking(api, host_key(api.region, host_id)) as http:
        guest = (await http.get(f"/guests/{server_id}")).json()
        other = await http.get(f"/guests/{server_id + 1}")

    assert (guest["user_data"], guest["hostname"]) == ("#!/bin/sh\necho ä\n", told["server"]["name"])
    assert guest["plan"]["public"]["ipv4"] == told["server"]["public_net"]["ipv4"]["ip"]
    (member,) = guest["plan"]["private"]
    assert guest["networks"] == [{"member_id": member["member_id"], "name": "shop", "subnet": "10.3.1.0/24"}]
    assert member["ip"].startswith("10.3.1.")
    assert other.status_code == 404
