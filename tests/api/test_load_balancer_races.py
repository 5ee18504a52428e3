"""Load balancers that many ask of at once: of what there can be one, one is granted; and each project has its own."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.api.balancing import make_balancer
from tests.api.refusals import outcome_of
from tests.fix_api import Api
from tests.fix_region import serving_another_project

NOBODYS = "10.255.255.254"
"""Private, as the addresses of the tests' pools."""


async def test_one_of_many_services_gets_the_port(module_api: Api) -> None:
    api = module_api
    id = await make_balancer(api, "contested")
    body = {"protocol": "tcp", "listen_port": 9000, "destination_port": 9000}

    replies = await asyncio.gather(
        *(api.http.post(f"/load_balancers/{id}/actions/add_service", json=body) for _ in range(8))
    )

    codes = Counter(map(outcome_of, replies))
    assert codes == {"201": 1, "source_port_already_used": 7}
    seen = (await api.http.get(f"/load_balancers/{id}")).json()["load_balancer"]
    assert [service["listen_port"] for service in seen["services"]] == [9000]


async def test_one_of_many_networks_gets_the_load_balancer(module_api: Api) -> None:
    api = module_api
    subnet = {"type": "cloud", "network_zone": await api.network_zone()}
    bodies = [{"name": f"rival-{n}", "ip_range": f"10.{90 + n}.0.0/16", "subnets": [subnet]} for n in range(6)]
    networks = [(await api.http.post("/networks", json=body)).json()["network"]["id"] for body in bodies]
    id = await make_balancer(api, "courted")

    replies = await asyncio.gather(
        *(
            api.http.post(f"/load_balancers/{id}/actions/attach_to_network", json={"network": network})
            for network in networks
        )
    )

    codes = Counter(map(outcome_of, replies))
    assert codes == {"201": 1, "load_balancer_already_attached": 5}
    assert len((await api.http.get(f"/load_balancers/{id}")).json()["load_balancer"]["private_net"]) == 1


async def test_one_of_many_definitions_of_a_target_stands(module_api: Api) -> None:
    api = module_api
    id = await make_balancer(api, "insisted")
    body = {"type": "label_selector", "label_selector": {"selector": "a=b"}}

    replies = await asyncio.gather(
        *(api.http.post(f"/load_balancers/{id}/actions/add_target", json=body) for _ in range(6))
    )

    codes = Counter(map(outcome_of, replies))
    assert codes == {"201": 1, "target_already_defined": 5}


async def test_a_target_and_its_address_do_not_part_in_a_race(module_api: Api) -> None:
    api = module_api
    created = (await api.create("raced", start_after_create=False, public_net={"enable_ipv6": False})).json()
    await api.succeeded(created["action"]["id"])
    server = (await api.http.get(f"/servers/{created['server']['id']}")).json()["server"]
    target = {"type": "server", "server": {"id": server["id"]}}
    ids = [await make_balancer(api, f"raced-{n}") for n in range(6)]

    unassigned, *added = await asyncio.gather(
        api.http.post(f"/primary_ips/{server['public_net']['ipv4']['id']}/actions/unassign"),
        *(api.http.post(f"/load_balancers/{id}/actions/add_target", json=target) for id in ids),
    )

    codes = set(map(outcome_of, added))
    won = outcome_of(unassigned)
    assert (won, codes) in [
        ("201", {"resolve_cloud_public_targets_error"}),
        ("server_is_load_balancer_target", {"201"}),
    ]


async def test_a_repetition_makes_no_second_one(module_api: Api) -> None:
    body = {"name": "repeated", "load_balancer_type": "lb11", "location": module_api.region.location}
    headers = {"Idempotency-Key": "balancer"}

    first, again = [await module_api.http.post("/load_balancers", json=body, headers=headers) for _ in range(2)]

    assert (first.status_code, first.json()) == (201, again.json())
    deleting = f"/load_balancers/{first.json()['load_balancer']['id']}"
    assert (await module_api.http.delete(deleting)).status_code == 201
    assert (await module_api.http.delete(deleting)).status_code == 404


async def test_load_balancers_see_only_their_own_project(module_api: Api) -> None:
    api = module_api
    created = (await api.create("alien", start_after_create=False)).json()
    await api.succeeded(created["action"]["id"])
    ip = created["server"]["public_net"]["ipv4"]["ip"]
    async with serving_another_project(api.region) as token:
        theirs = {"Authorization": f"Bearer {token}"}
        body = {"name": "theirs", "load_balancer_type": "lb11", "location": api.region.location}
        selector = {"type": "label_selector", "label_selector": {"selector": "!none"}}
        made = await api.http.post("/load_balancers", json={**body, "targets": [selector]}, headers=theirs)
        add = f"/load_balancers/{made.json()['load_balancer']['id']}/actions/add_target"
        by_id = await api.http.post(
            add, json={"type": "server", "server": {"id": created["server"]["id"]}}, headers=theirs
        )
        by_ip, absent = [
            await api.http.post(add, json={"type": "ip", "ip": {"ip": one}}, headers=theirs) for one in (ip, NOBODYS)
        ]

    assert made.json()["load_balancer"]["targets"][0]["targets"] == []
    assert by_id.json()["error"]["code"] == "invalid_input"
    assert by_ip.json()["error"] == absent.json()["error"]
    seen = (await api.http.get(f"/servers/{created['server']['id']}")).json()["server"]
    assert seen["load_balancers"] == []
