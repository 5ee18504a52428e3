"""Networks, as hcloud-python has them: ranges, subnets, routes, and the servers in them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.networks import NetworkRoute, NetworkSubnet
from hcloud.server_types import ServerType

from infra.domain.networks import MOST_ROUTES, MOST_SUBNETS
from tests.api.refusals import code_of, fields_of, outcome_of
from tests.fix_api import Api


async def test_a_network_has_subnets_routes_and_a_range_that_widens(module_api: Api) -> None:
    await asyncio.to_thread(_a_networks_life, module_api.hcloud, await module_api.network_zone())


def _a_networks_life(hcloud: Client, zone: str) -> None:
    subnet = NetworkSubnet(ip_range="10.0.1.0/24", type="cloud", network_zone=zone)
    network = hcloud.networks.create("inside", "10.0.0.0/16", subnets=[subnet], labels={"a": "b"})
    assert (network.subnets[0].gateway, network.subnets[0].ip_range) == ("10.0.0.1", "10.0.1.0/24")
    assert [one.id for one in hcloud.networks.get_all(label_selector="a=b", name="inside")] == [network.id]

    network.add_subnet(NetworkSubnet(ip_range=None, type="cloud", network_zone=zone)).wait_until_finished()
    route = NetworkRoute(destination="10.100.1.0/24", gateway="10.0.1.5")
    network.add_route(route).wait_until_finished()
    network.change_ip_range("10.0.0.0/12").wait_until_finished()
    network.change_ip_range("10.0.0.0/12").wait_until_finished()
    seen = hcloud.networks.get_by_id(network.id)
    assert [one.ip_range for one in seen.subnets] == ["10.0.0.0/24", "10.0.1.0/24"]
    assert (seen.ip_range, seen.routes[0].destination) == ("10.0.0.0/12", "10.100.1.0/24")
    assert code_of(lambda: network.add_subnet(subnet)) == "networks_overlap"
    assert code_of(lambda: network.add_route(route)) == "invalid_input"
    vswitch = NetworkSubnet(ip_range=None, type="vswitch", network_zone=zone, vswitch_id=1)
    assert code_of(lambda: network.add_subnet(vswitch)) == "service_error"

    network.delete_route(route).wait_until_finished()
    network.delete_subnet(subnet).wait_until_finished()
    network.change_protection(delete=True).wait_until_finished()
    assert code_of(lambda: network.delete()) == "protected"
    network.change_protection(delete=False).wait_until_finished()
    renamed = network.update(name="within", labels={}, expose_routes_to_vswitch=True)
    assert (renamed.name, renamed.labels, renamed.expose_routes_to_vswitch) == ("within", {}, True)
    assert "add_subnet" in [action.command for action in network.get_actions()]
    assert network.delete()
    assert hcloud.networks.get_by_name("within") is None


async def test_a_network_has_so_many_subnets_and_routes_and_no_more(module_api: Api) -> None:
    zone = await module_api.network_zone()
    subnets = [{"ip_range": f"10.0.{n}.0/24", "type": "cloud", "network_zone": zone} for n in range(MOST_SUBNETS + 1)]
    routes = [{"destination": f"192.168.{n}.0/24", "gateway": "10.0.0.5"} for n in range(MOST_ROUTES + 1)]
    body = {"name": "large", "ip_range": "10.0.0.0/16", "subnets": subnets[:-1], "routes": routes[:-1]}
    id = (await module_api.http.post("/networks", json=body)).json()["network"]["id"]

    for action, one, most in (("add_subnet", subnets[-1], MOST_SUBNETS), ("add_route", routes[-1], MOST_ROUTES)):
        refused = await module_api.http.post(f"/networks/{id}/actions/{action}", json=one)
        (limit,) = refused.json()["error"]["details"]["limits"]
        assert (outcome_of(refused), limit["limit"], limit["used"]) == ("resource_limit_exceeded", most, most)
    assert (await module_api.http.delete(f"/networks/{id}")).is_success


async def test_servers_come_into_networks_and_leave_them(module_api: Api) -> None:
    api = module_api
    await asyncio.to_thread(_members, api.hcloud, api.region.location, await api.network_zone())
    await api.region.assert_balanced()


def _members(hcloud: Client, location: str, zone: str) -> None:
    subnets = [NetworkSubnet(ip_range="10.1.1.0/24", type="cloud", network_zone=zone)]
    first = hcloud.networks.create("first", "10.1.0.0/16", subnets=subnets)
    bare = hcloud.networks.create("bare", "10.2.0.0/16")
    answer = hcloud.servers.create(
        "member",
        ServerType(name="px1"),
        Image(name="tiny"),
        location=Location(name=location),
        networks=[first],
        start_after_create=False,
    )
    answer.action.wait_until_finished()
    server = hcloud.servers.get_by_id(answer.server.id)
    net = server.private_net[0]
    assert (net.network.id, net.ip, net.alias_ips) == (first.id, "10.1.1.1", [])
    assert net.mac_address.startswith("06:")
    assert [one.id for one in hcloud.networks.get_by_id(first.id).servers] == [server.id]

    assert code_of(lambda: server.attach_to_network(first)) == "server_already_attached"
    assert code_of(lambda: server.attach_to_network(bare)) == "no_subnet_available"
    assert code_of(lambda: first.delete_subnet(subnets[0])) == "service_error"
    server.change_alias_ips(first, ["10.1.1.7", "10.1.1.8"]).wait_until_finished()
    assert hcloud.servers.get_by_id(server.id).private_net[0].alias_ips == ["10.1.1.7", "10.1.1.8"]
    assert code_of(lambda: server.change_alias_ips(first, ["10.1.1.1"])) == "ip_not_available"
    server.detach_from_network(first).wait_until_finished()
    assert hcloud.servers.get_by_id(server.id).private_net == []
    server.attach_to_network(first, ip="10.1.1.9", alias_ips=["10.1.1.10"]).wait_until_finished()
    moved = hcloud.servers.get_by_id(server.id).private_net[0]
    assert (moved.ip, moved.alias_ips) == ("10.1.1.9", ["10.1.1.10"])
    server.delete().wait_until_finished()
    assert hcloud.networks.get_by_id(first.id).servers == []
    assert first.delete()
    assert bare.delete()


async def test_no_address_is_given_twice(module_api: Api) -> None:
    api, zone = module_api, await module_api.network_zone()
    subnets = [{"type": "cloud", "network_zone": zone, "ip_range": "10.3.1.0/28"}]
    made = await api.http.post("/networks", json={"name": "narrow", "ip_range": "10.3.0.0/16", "subnets": subnets})
    network = made.json()["network"]["id"]
    servers = [(await api.create(f"n{n}", start_after_create=False)).json()["server"]["id"] for n in range(16)]

    replies = await asyncio.gather(
        *(api.http.post(f"/servers/{id}/actions/attach_to_network", json={"network": network}) for id in servers)
    )

    codes = Counter(map(outcome_of, replies))
    assert codes == {"201": 14, "ip_not_available": 2}
    rows = await api.region.one(
        "SELECT count(*) AS n, count(DISTINCT ip) AS ips FROM network_addresses WHERE network_id = %s", network
    )
    assert rows == {"n": 14, "ips": 14}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"ip_range": "10.0.0.1/16"}, ["ip_range"]),
        ({"ip_range": "8.8.8.0/24"}, ["ip_range"]),
        ({"ip_range": "10.0.0.0/16", "subnets": [{"type": "x", "network_zone": "y"}]}, ["subnets.0.type"]),
        (
            {"ip_range": "10.0.0.0/16", "routes": [{"destination": "a", "gateway": "b"}]},
            ["routes.0.destination", "routes.0.gateway"],
        ),
        ({"ip_range": "10.0.0.0/16", "subnets": [{"type": "cloud", "network_zone": "y"}]}, ["subnets.0.network_zone"]),
    ],
)
async def test_what_cannot_be_is_named_field_by_field(module_api: Api, body: dict[str, Any], fields: list[str]) -> None:
    reply = await module_api.http.post("/networks", json={"name": "wrong", **body})

    assert fields_of(reply) == fields
    assert (await module_api.http.get("/networks", params={"name": "wrong"})).json()["networks"] == []
