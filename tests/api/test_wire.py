"""The wire: what a client reads is what hcloud's clients expect, with the package from PyPI as the judge."""

from __future__ import annotations

import asyncio
from typing import Any

from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType
from hcloud.ssh_keys import SSHKey

from tests.api.refusals import code_of
from tests.fix_api import Api

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7hU5g1v0bYc2rwQ1M0zE3p1c0dVbV1nq2hY3k4m5N6 me@home"


async def test_hcloud_creates_polls_lists_and_deletes_a_server(api: Api) -> None:
    await asyncio.to_thread(_a_servers_life, api.hcloud, api.region.location)

    assert api.region.host.inventory().is_empty
    await api.region.assert_balanced()


def _a_servers_life(hcloud: Client, location: str) -> None:
    key = hcloud.ssh_keys.create(name="laptop", public_key=KEY)
    answer = hcloud.servers.create(
        name="web-1",
        server_type=ServerType(name="px1"),
        image=Image(name="tiny"),
        location=Location(name=location),
        ssh_keys=[SSHKey(id=key.id)],
        labels={"role": "web", "env": "test"},
        user_data="#!/bin/sh\necho hello\n",
    )
    assert answer.server.status == "initializing"
    assert answer.server.public_net.ipv4.ip
    answer.action.wait_until_finished()
    for action in answer.next_actions:
        action.wait_until_finished()

    server = hcloud.servers.get_by_id(answer.server.id)
    assert server.status == "running"
    assert server.public_net.ipv6.ip.endswith("/64")
    assert [found.id for found in hcloud.servers.get_all(label_selector="role=web,env in (test)")] == [server.id]
    assert hcloud.servers.get_all(label_selector="role!=web") == []
    named = hcloud.servers.get_by_name("web-1")
    assert named is not None
    assert named.id == server.id
    assert [action.command for action in hcloud.servers.get_actions(server)] == ["create_server", "start_server"]

    deleting = hcloud.servers.delete(server)
    deleting.wait_until_finished()
    assert code_of(lambda: hcloud.servers.get_by_id(server.id)) == "not_found"
    assert hcloud.ssh_keys.delete(key)


async def test_the_catalogue_is_found_by_name(api: Api) -> None:
    hcloud = api.hcloud

    def look() -> tuple[Any, Any, Any]:
        return (
            hcloud.server_types.get_by_name("px1"),
            hcloud.images.get_by_name_and_architecture("tiny", "x86"),
            hcloud.locations.get_by_name(api.region.location),
        )

    server_type, image, location = await asyncio.to_thread(look)

    assert (server_type.cores, server_type.disk) == (1, 2)
    assert image.status == "available"
    assert location.name == api.region.location


async def test_actions_are_asked_for_by_several_ids(api: Api) -> None:
    created = (await api.create()).json()
    ids = [created["action"]["id"], created["next_actions"][0]["id"]]

    found = (await api.http.get("/actions", params={"id": ids})).json()["actions"]

    assert sorted(action["id"] for action in found) == sorted(ids)
    assert (await api.http.get("/actions")).status_code in (410, 422)


async def test_a_patient_create_answers_with_a_running_server(api: Api) -> None:
    reply = await api.http.post(
        "/servers",
        json={"name": "web", "server_type": "px1", "image": "tiny", "location": api.region.location},
        headers={"Prefer": "wait=30"},
    )

    told = reply.json()
    assert (told["server"]["status"], told["action"]["status"]) == ("running", "success")
    assert told["server"]["host_key"].startswith("ssh-ed25519 ")


async def test_a_refusal_is_answered_as_such_and_leaves_the_name_free(api: Api) -> None:
    await api.region.set_quota(max_servers=0)
    refused = await api.create()
    await api.region.set_quota(max_servers=1)
    granted = await api.create()

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "resource_limit_exceeded")
    assert granted.status_code == 201


async def test_an_action_tells_its_steps(api: Api) -> None:
    created = (await api.create()).json()
    await api.succeeded(created["action"]["id"])

    steps = (await api.http.get(f"/actions/{created['action']['id']}/timeline")).json()

    assert "wait_ready" in str(steps)


async def test_a_key_is_an_ssh_key_once(api: Api) -> None:
    first = await api.http.post("/ssh_keys", json={"name": "a", "public_key": KEY})
    twice = await api.http.post("/ssh_keys", json={"name": "b", "public_key": KEY})
    wrong = await api.http.post("/ssh_keys", json={"name": "c", "public_key": "ssh-rsa nonsense"})

    assert first.status_code == 201
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "uniqueness_error")
    assert (wrong.status_code, wrong.json()["error"]["details"]["fields"][0]["name"]) == (422, "public_key")


async def test_a_key_is_told_as_it_was_sent_and_written_into_the_guest_as_one_line(api: Api) -> None:
    sent = f"  {KEY}\r\n"
    made = (await api.http.post("/ssh_keys", json={"name": "of a file", "public_key": sent})).json()["ssh_key"]
    again = await api.http.post("/ssh_keys", json={"name": "again", "public_key": KEY})
    server = (await api.create(ssh_keys=["of a file"])).json()["server"]

    assert (await api.http.get(f"/ssh_keys/{made['id']}")).json()["ssh_key"]["public_key"] == sent
    assert again.json()["error"]["code"] == "uniqueness_error"
    row = await api.region.one("SELECT authorized_keys FROM servers WHERE id = %s", server["id"])
    assert row == {"authorized_keys": [KEY]}


async def test_a_repeated_request_adds_one_ssh_key(api: Api) -> None:
    once = {"Idempotency-Key": "once"}

    replies = await asyncio.gather(
        *(api.http.post("/ssh_keys", json={"name": "a", "public_key": KEY}, headers=once) for _ in range(5))
    )
    other = await api.http.post("/ssh_keys", json={"name": "b", "public_key": KEY}, headers=once)
    server = await api.http.post("/servers", json={"name": "web", "server_type": "px1", "image": "tiny"}, headers=once)

    assert {(reply.status_code, reply.content) for reply in replies} == {(201, replies[0].content)}
    assert "Idempotency-Key" in other.json()["error"]["message"]
    assert server.status_code == 201  # each route has keys of its own


async def test_keys_are_not_kept_in_clear(api: Api) -> None:
    row = await api.region.one("SELECT * FROM api_keys WHERE project_id = %s", api.region.project_id)

    assert row is not None
    assert len(api.region.token) == 64
    assert api.region.token.encode() not in repr(row).encode()
