"""Servers in placement groups: they come and go, and a group that has one stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType

from tests.api.refusals import code_of, fields_of, outcome_of
from tests.api.test_servers import created
from tests.fix_api import Api, serving_api
from tests.fix_region import NewRegion, serving_another_project


async def test_hcloud_moves_a_server_between_groups(api: Api) -> None:
    await asyncio.to_thread(_moves, api.hcloud, api.region.location)


def _moves(hcloud: Client, location: str) -> None:
    one = hcloud.placement_groups.create("one", "spread", {"a": "b"}).placement_group
    two = hcloud.placement_groups.create("two", "spread").placement_group
    answer = hcloud.servers.create(
        "web", ServerType(name="px1"), Image(name="tiny"), location=Location(name=location), placement_group=one
    )
    assert answer.server.placement_group.id == one.id
    for action in (answer.action, *answer.next_actions):
        action.wait_until_finished()
    server = hcloud.servers.get_by_id(answer.server.id)
    assert (server.placement_group.name, server.placement_group.labels) == ("one", {"a": "b"})
    assert server.placement_group.servers == [server.id]
    assert hcloud.placement_groups.get_by_id(one.id).servers == [server.id]

    assert code_of(lambda: hcloud.placement_groups.delete(one)) == "resource_in_use"
    assert code_of(lambda: hcloud.servers.add_to_placement_group(server, two)) == "already_in_placement_group"
    hcloud.servers.remove_from_placement_group(server).wait_until_finished()
    assert hcloud.servers.get_by_id(server.id).placement_group is None
    assert code_of(lambda: hcloud.servers.add_to_placement_group(server, two)) == "server_not_stopped"
    hcloud.servers.power_off(server).wait_until_finished()
    hcloud.servers.add_to_placement_group(server, two).wait_until_finished()
    assert hcloud.servers.get_by_id(server.id).placement_group.id == two.id
    assert hcloud.placement_groups.delete(one)
    hcloud.servers.delete(server).wait_until_finished()
    assert hcloud.placement_groups.delete(two)


@pytest_asyncio.fixture(scope="module")
async def many_hosts(module_region: NewRegion) -> AsyncIterator[Api]:
    """A host for each server that a group can have."""
    async with module_region(11) as region, serving_api(region) as api:
        yield api


async def test_a_group_takes_ten_servers_however_many_come_at_once(many_hosts: Api) -> None:
    api, group = many_hosts, await _group(many_hosts, "full")
    await api.region.set_quota(max_servers=20, max_cores=100)

    replies = await asyncio.gather(
        *(api.create(f"s{n}", placement_group=group, start_after_create=False) for n in range(12))
    )

    codes = sorted(map(outcome_of, replies))
    assert codes == [*["201"] * 10, *["placement_error"] * 2]
    used = await api.region.one(
        "SELECT count(DISTINCT host_id) AS hosts, count(*) AS servers FROM claims WHERE placement_group_id = %s", group
    )
    assert used == {"hosts": 10, "servers": 10}
    late = await created(api, "late", start_after_create=False)
    reply = await api.http.post(
        f"/servers/{late['id']}/actions/add_to_placement_group", json={"placement_group": group}
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "placement_error")


async def test_a_second_server_of_a_group_is_refused_where_there_is_one_host(api: Api) -> None:
    group = await _group(api)
    await created(api, placement_group=group, start_after_create=False)
    alone = await created(api, "alone", start_after_create=False)

    ordered = await api.create("beside", placement_group=group)
    added = await api.http.post(
        f"/servers/{alone['id']}/actions/add_to_placement_group", json={"placement_group": group}
    )

    refused = ordered.json()["error"]
    assert (ordered.status_code, refused["code"]) == (412, "resource_unavailable")
    assert refused["message"].endswith(
        ": of 1 host 1 holds a server of the placement group; outside its placement group it fits on 1"
    )
    assert refused["details"]["dropped"] == {"placement_group": 1}
    assert (added.status_code, added.json()["error"]) == (
        422,
        {
            "code": "placement_error",
            "message": "another server of the placement group is on the same host",
            "details": None,
        },
    )


async def test_a_group_that_goes_while_servers_come_is_never_half_gone(many_hosts: Api) -> None:
    api, group = many_hosts, await _group(many_hosts, "going")

    *creates, delete = await asyncio.gather(
        *(api.create(f"g{n}", placement_group=group, start_after_create=False) for n in range(5)),
        api.http.delete(f"/placement_groups/{group}"),
    )

    granted = [reply.json()["server"]["id"] for reply in creates if reply.status_code == 201]
    refused = {reply.json()["error"]["code"] for reply in creates if reply.status_code != 201}
    left = await api.http.get(f"/placement_groups/{group}")
    assert refused <= {"invalid_input"}
    assert (delete.status_code, left.status_code) in {(204, 404), (422, 200)}
    assert bool(granted) == (delete.status_code == 422)
    if granted:
        assert left.json()["placement_group"]["servers"] == sorted(granted)


async def test_a_group_that_is_not_there_is_named(api: Api) -> None:
    group = await _group(api)
    server = await created(api, start_after_create=False)
    async with serving_another_project(api.region) as token:
        theirs = {"Authorization": f"Bearer {token}"}
        body = {"name": "x", "server_type": "px1", "image": "tiny", "placement_group": group}
        ordered = await api.http.post("/servers", headers=theirs, json=body)
    absent = await api.http.post(
        f"/servers/{server['id']}/actions/add_to_placement_group", json={"placement_group": group + 10**6}
    )
    wrong = await api.create("y", placement_group="one", server_type="none")
    removed = await api.http.post(f"/servers/{server['id']}/actions/remove_from_placement_group")

    assert fields_of(ordered) == ["placement_group"]
    assert fields_of(absent) == ["placement_group"]
    assert fields_of(wrong) == ["placement_group"]
    assert removed.status_code == 201  # it is in none
    await api.succeeded(removed.json()["action"]["id"])


async def _group(api: Api, name: str = "apart") -> int:
    reply = await api.http.post("/placement_groups", json={"name": name, "type": "spread"})
    return int(reply.json()["placement_group"]["id"])
