"""A project's default network: servers that name no network are in it, unless somebody does not want that."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest_asyncio

from tests.api.refusals import outcome_of
from tests.fix_api import Api
from tests.fix_region import eventually

AT_ONCE = 6
"""Through all of it; of twenty orders at once the books tell: tests/db/test_network_members.py."""


@pytest_asyncio.fixture
async def with_default(api: Api) -> Api:
    await api.region.execute("UPDATE projects SET default_network = true WHERE id = %s", api.region.project_id)
    return api


async def private_net(api: Api, created: dict[str, Any]) -> list[dict[str, Any]]:
    server: dict[str, Any] = (await api.http.get(f"/servers/{created['server']['id']}")).json()["server"]
    return list(server["private_net"])


async def networks(api: Api) -> list[dict[str, Any]]:
    return list((await api.listed("/networks"))["networks"])


async def test_first_creates_at_once_make_one_network_and_are_all_in_it(with_default: Api) -> None:
    api = with_default
    replies = await asyncio.gather(*(api.create(f"first-{n}", start_after_create=False) for n in range(AT_ONCE)))

    assert Counter(map(outcome_of, replies)) == {"201": AT_ONCE}
    (network,) = await networks(api)
    assert (network["name"], network["ip_range"]) == ("default", "10.0.0.0/16")
    assert [one["network_zone"] for one in network["subnets"]] == [await api.network_zone()]
    nets = [await private_net(api, reply.json()) for reply in replies]
    assert {len(net) for net in nets} == {1}
    assert len({net[0]["ip"] for net in nets}) == AT_ONCE
    assert sorted(network["servers"]) == sorted(reply.json()["server"]["id"] for reply in replies)


async def test_its_server_boots_with_that_port(with_default: Api) -> None:
    api = with_default
    created = (await api.create("booted")).json()
    await api.succeeded(created["next_actions"][0]["id"])

    ((net,), plan) = await private_net(api, created), api.region.host.plan_of(created["server"]["id"])

    assert plan is not None
    (port,) = plan.private
    assert (port.ip, port.mac, port.network_id) == (net["ip"], net["mac_address"], net["network"])
    assert api.region.host.nics_of(created["server"]["id"]) == {port.member_id}


async def test_no_networks_are_asked_for_by_an_empty_list(with_default: Api) -> None:
    created = (await with_default.create("alone", start_after_create=False, networks=[])).json()

    assert await private_net(with_default, created) == []
    assert await networks(with_default) == []


async def test_who_names_a_network_is_in_that_one_alone(with_default: Api) -> None:
    api = with_default
    subnet = {"type": "cloud", "network_zone": await api.network_zone(), "ip_range": "10.9.1.0/24"}
    made = await api.http.post("/networks", json={"name": "own", "ip_range": "10.9.0.0/16", "subnets": [subnet]})
    id = made.json()["network"]["id"]

    created = (await api.create("named", start_after_create=False, networks=[id])).json()

    assert [net["network"] for net in await private_net(api, created)] == [id]
    assert [one["name"] for one in await networks(api)] == ["own"]


async def test_a_project_that_turned_it_off_has_none(api: Api) -> None:
    created = (await api.create("off", start_after_create=False)).json()

    assert await private_net(api, created) == []


async def test_a_network_of_that_name_gets_a_subnet_where_it_lacks_one(with_default: Api) -> None:
    api = with_default
    await api.http.post("/networks", json={"name": "default", "ip_range": "192.168.7.0/24"})

    created = (await api.create("in-theirs", start_after_create=False)).json()

    (net,) = await private_net(api, created)
    assert net["ip"] == "192.168.7.2"


async def test_a_server_that_only_has_a_private_address_may_be_started(with_default: Api) -> None:
    created = await with_default.create("inside", public_net={"enable_ipv4": False, "enable_ipv6": False})

    assert created.status_code == 201
    await with_default.succeeded(created.json()["action"]["id"])


async def test_a_deleted_default_network_takes_its_ports_along_and_is_made_anew(with_default: Api) -> None:
    api = with_default
    created = (await api.create("left")).json()
    await api.succeeded(created["next_actions"][0]["id"])
    (network,) = await networks(api)

    assert (await api.http.delete(f"/networks/{network['id']}")).status_code == 204

    await eventually(lambda: no_private_port(api, created["server"]["id"]))
    again = (await api.create("right", start_after_create=False)).json()
    assert [net["network"] for net in await private_net(api, again)] != [network["id"]]


async def no_private_port(api: Api, server_id: int) -> bool:
    plan = api.region.host.plan_of(server_id)
    return plan is not None and not plan.private and not api.region.host.nics_of(server_id)
