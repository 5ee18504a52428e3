"""Power, as hcloud-python has it: a server is off, on, shut down, rebooted and reset, and says so before it is done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType

from infra.drivers.simulated import Fault, Latencies
from tests.api.test_servers import created
from tests.fix_api import Api, serving_api
from tests.fix_region import NewRegion, eventually, serving_another_project

WORDS = ("poweron", "poweroff", "shutdown", "reboot", "reset")


async def test_hcloud_switches_a_server(api: Api) -> None:
    await asyncio.to_thread(_switches, api.hcloud, api.region.location)

    await api.region.assert_balanced()


def _switches(hcloud: Client, location: str) -> None:
    answer = hcloud.servers.create("web", ServerType(name="px1"), Image(name="tiny"), location=Location(name=location))
    for action in (answer.action, *answer.next_actions):
        action.wait_until_finished()
    server = answer.server
    before = hcloud.servers.get_by_id(server.id)

    def status() -> str:
        now = hcloud.servers.get_by_id(server.id)
        assert not now.locked
        assert now.public_net.ipv4.ip == before.public_net.ipv4.ip
        return str(now.status)

    steps: list[tuple[Any, str]] = [
        (hcloud.servers.power_on, "running"),
        (hcloud.servers.power_off, "off"),
        (hcloud.servers.power_off, "off"),
        (hcloud.servers.power_on, "running"),
        (hcloud.servers.reboot, "running"),
        (hcloud.servers.reset, "running"),
        (hcloud.servers.shutdown, "off"),
    ]
    for step, expected in steps:
        step(server).wait_until_finished()
        assert status() == expected
    commands = [action.command for action in hcloud.servers.get_actions(server, sort=["id:asc"])]
    assert commands == [
        *("create_server", "start_server"),
        *("start_server", "stop_server", "stop_server", "start_server"),
        *("reboot_server", "reset_server", "shutdown_server"),
    ]
    assert [one.id for one in hcloud.servers.get_list(status=["off"]).servers] == [server.id]
    assert hcloud.servers.get_list(status=["running", "migrating"]).servers == []


async def test_an_address_moves_between_servers_that_were_stopped(api: Api) -> None:
    first, second = await created(api, "first"), await created(api, "second", public_net={"enable_ipv4": False})
    ip = first["public_net"]["ipv4"]
    refused = await api.http.post(f"/primary_ips/{ip['id']}/actions/unassign")
    for server in (first, second):
        await _done(api, f"/servers/{server['id']}/actions/poweroff")

    await _done(api, f"/primary_ips/{ip['id']}/actions/unassign")
    await _done(
        api,
        f"/primary_ips/{ip['id']}/actions/assign",
        {"assignee_id": second["id"], "assignee_type": "server"},
    )
    await _done(api, f"/servers/{second['id']}/actions/poweron")

    assert refused.json()["error"]["code"] == "server_not_stopped"
    server = (await api.http.get(f"/servers/{second['id']}")).json()["server"]
    assert (server["status"], server["public_net"]["ipv4"]["ip"]) == ("running", ip["ip"])
    seed = api.region.host.seed_of(second["id"])
    assert seed is not None
    assert ip["ip"] in seed.network_config
    row = api.region.host.db.execute("SELECT server_id FROM addresses WHERE address = ?", (ip["ip"],)).fetchone()
    assert row == (second["id"],)


async def test_while_one_command_works_others_are_locked_out_and_a_delete_is_not(api: Api) -> None:
    server = await created(api)
    path = f"/servers/{server['id']}"
    api.region.host.inject(Fault("machines.destroy", when="hang", count=None))
    stopping = await api.http.post(f"{path}/actions/poweroff")
    seen = (await api.http.get(path)).json()["server"]
    locked = [await api.http.post(f"{path}/actions/{word}") for word in WORDS]
    deleting = await api.http.delete(path)
    api.region.host.clear()
    await api.succeeded(deleting.json()["action"]["id"])

    assert (stopping.status_code, stopping.json()["action"]["status"]) == (201, "running")
    assert (seen["status"], seen["locked"]) == ("stopping", True)
    assert {(reply.status_code, reply.json()["error"]["code"]) for reply in locked} == {(423, "locked")}
    ended = (await api.http.get(f"/actions/{stopping.json()['action']['id']}")).json()["action"]
    assert ended["status"] != "running"
    assert (await api.http.get(path)).status_code == 404
    await api.region.assert_balanced()


async def test_of_many_commands_at_once_one_is_taken(api: Api) -> None:
    server = await created(api)
    path = f"/servers/{server['id']}/actions"
    api.region.host.inject(Fault("machines.*", when="hang", count=None))

    replies = await asyncio.gather(*(api.http.post(f"{path}/{word}") for word in ("poweroff", "reset") * 4))

    api.region.host.clear()
    assert sorted(reply.status_code for reply in replies) == [201, *[423] * 7]
    taken = next(reply for reply in replies if reply.status_code == 201)
    await api.succeeded(taken.json()["action"]["id"])


async def test_a_patient_command_answers_when_it_is_done_and_a_repetition_is_no_second_one(api: Api) -> None:
    server = await created(api)
    path = f"/servers/{server['id']}/actions/poweroff"

    once = await api.http.post(path, headers={"Prefer": "wait=30", "Idempotency-Key": "once"})
    again = await api.http.post(path, headers={"Idempotency-Key": "once"})

    assert (once.json()["action"]["status"], once.headers["Preference-Applied"]) == ("success", "wait=30")
    assert again.json()["action"]["id"] == once.json()["action"]["id"]


async def test_who_waits_for_a_shutdown_is_answered_before_its_guest_obeys(new_region: NewRegion) -> None:
    async with new_region(latencies=Latencies(boot=0.0, shut_down=3600.0)) as region, serving_api(region) as api:
        server = await created(api)

        reply = await api.http.post(
            f"/servers/{server['id']}/actions/shutdown", headers={"Prefer": "wait=60"}, timeout=40
        )

        assert reply.json()["action"]["status"] == "success"
        assert (await api.http.get(f"/servers/{server['id']}")).json()["server"]["status"] == "running"


@pytest.mark.parametrize("word", WORDS)
async def test_a_server_of_another_project_is_absent(api: Api, word: str) -> None:
    server = (await api.create(start_after_create=False)).json()["server"]
    async with serving_another_project(api.region) as token:
        theirs = {"Authorization": f"Bearer {token}"}
        reply = await api.http.post(f"/servers/{server['id']}/actions/{word}", headers=theirs)

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


async def test_a_server_that_was_not_started_is_started(api: Api) -> None:
    server = await created(api, start_after_create=False)
    path = f"/servers/{server['id']}"

    await _done(api, f"{path}/actions/poweron")

    told = (await api.http.get(f"{path}/timeline")).json()
    assert (await api.http.get(path)).json()["server"]["status"] == "running"
    assert [one["action"]["command"] for one in told["timeline"]] == ["create_server", "start_server"]
    assert [step["name"] for step in told["timeline"][1]["steps"]] == [
        *("read_machine", "write_seed", "power_on", "finish_power")
    ]
    deleting = await api.http.delete(path)
    await api.succeeded(deleting.json()["action"]["id"])
    await api.region.assert_balanced()


async def _done(api: Api, path: str, body: Any = None) -> None:
    reply = await api.http.post(path, json=body)
    assert reply.status_code == 201, reply.text
    await api.succeeded(reply.json()["action"]["id"])
    if "servers" in path:
        await eventually(lambda: api.unlocked(int(path.split("/")[2])))
