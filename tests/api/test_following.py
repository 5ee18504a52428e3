"""The world follows the books: what is changed of firewalls, labels, networks and addresses is on the server's host."""

from __future__ import annotations

import asyncio
from typing import Any

from hcloud import Client
from hcloud.firewalls import FirewallResource, FirewallResourceLabelSelector, FirewallRule
from hcloud.networks import NetworkRoute, NetworkSubnet
from hcloud.servers import BoundServer

from infra.domain.port_plan import GuestRoute, PortPlan
from tests.api.stopped import make_server
from tests.fix_api import Api

WEB = FirewallRule("in", "tcp", ["0.0.0.0/0"], "80")
PING = FirewallRule("in", "icmp", ["::/0"])


def _plan(api: Api, server: BoundServer) -> PortPlan:
    """As its host has it now."""
    plan = next(filter(None, (host.plan_of(server.id) for host in api.region.hosts.values())), None)
    assert plan is not None
    return plan


def _ports(api: Api, server: BoundServer) -> list[str | None]:
    return [rule.port for rule in _plan(api, server).rules]


def _firewalls(hcloud: Client, server: BoundServer) -> list[tuple[int, str]]:
    seen = hcloud.servers.get_by_id(server.id)
    return [(one.firewall.id, one.status) for one in seen.public_net.firewalls]


def _wait(actions: Any) -> None:
    for action in actions:
        action.wait_until_finished()


def _by_labels(selector: str) -> FirewallResource:
    return FirewallResource("label_selector", label_selector=FirewallResourceLabelSelector(selector))


async def test_a_firewall_is_on_the_host_when_its_action_says_so(module_api: Api) -> None:
    await asyncio.to_thread(_firewall_story, module_api, module_api.hcloud)


def _firewall_story(api: Api, hcloud: Client) -> None:
    server = make_server(hcloud, api.region.location, "guarded", labels={"role": "web"})
    assert _ports(api, server) == []

    created = hcloud.firewalls.create("follow", [WEB], resources=[_by_labels("role=web")])
    _wait(created.actions)
    firewall = created.firewall
    assert _ports(api, server) == ["80"]
    assert _firewalls(hcloud, server) == [(firewall.id, "applied")]

    _wait(firewall.set_rules([WEB, PING]))
    assert _ports(api, server) == ["80", None]

    _wait(firewall.remove_from_resources([_by_labels("role=web")]))
    assert _ports(api, server) == []
    assert firewall.delete()
    server.delete().wait_until_finished()


async def test_labels_bring_and_take_firewalls(module_api: Api) -> None:
    await asyncio.to_thread(_labels_story, module_api, module_api.hcloud)


def _labels_story(api: Api, hcloud: Client) -> None:
    server = make_server(hcloud, api.region.location, "labelled")
    created = hcloud.firewalls.create("by-label", [WEB], resources=[_by_labels("guard")])
    _wait(created.actions)
    firewall = created.firewall
    assert _ports(api, server) == []

    updated = server.update(labels={"guard": "yes"})
    assert updated.labels == {"guard": "yes"}
    _wait(server.get_actions(status=["running"]))
    assert _ports(api, server) == ["80"]
    server.update(labels={"guard": "too"})  # brings nothing new
    server.update(labels={})
    _wait(server.get_actions(status=["running"]))
    assert _ports(api, server) == []

    told = [one for one in server.get_actions(sort=["id"]) if "firewall" in one.command]
    assert [one.command for one in told] == ["apply_firewall", "remove_firewall"]
    about = [{"id": firewall.id, "type": "firewall"}, {"id": server.id, "type": "server"}]
    assert [one.resources for one in told] == [about, about]
    _wait(firewall.remove_from_resources([_by_labels("guard")]))
    firewall.delete()
    server.delete().wait_until_finished()


async def test_networks_come_and_go_on_a_server_that_runs(module_api: Api) -> None:
    api = module_api
    created = (await api.create("hot")).json()
    await api.succeeded(created["next_actions"][0]["id"])
    await asyncio.to_thread(_network_story, api, api.hcloud, created["server"]["id"], await api.network_zone())


def _network_story(api: Api, hcloud: Client, server_id: int, zone: str) -> None:
    server = hcloud.servers.get_by_id(server_id)
    subnet = NetworkSubnet(ip_range="10.3.1.0/24", type="cloud", network_zone=zone)
    network = hcloud.networks.create("hot", "10.3.0.0/16", subnets=[subnet])
    other = make_server(hcloud, api.region.location, "other", networks=[network])

    server.attach_to_network(network, alias_ips=["10.3.1.50"]).wait_until_finished()
    (port,) = _plan(api, server).private
    (net,) = hcloud.servers.get_by_id(server_id).private_net
    assert (port.ip, port.aliases, port.mac) == (net.ip, ("10.3.1.50",), net.mac_address)
    assert api.region.host.nics_of(server_id) == {port.member_id}

    network.add_route(NetworkRoute(destination="10.99.0.0/16", gateway="10.3.1.50")).wait_until_finished()
    assert _plan(api, server).private[0].carries == ("10.99.0.0/16",)
    assert _plan(api, other).private[0].routes == (GuestRoute("10.99.0.0/16", "10.3.1.50"),)
    server.change_alias_ips(network, []).wait_until_finished()
    assert (_plan(api, server).private[0].aliases, _plan(api, server).private[0].carries) == ((), ())

    server.detach_from_network(network).wait_until_finished()
    assert _plan(api, server).private == ()
    assert api.region.host.nics_of(server_id) == set()
    assert network.delete()
    _wait(hcloud.networks.actions.get_all(status=["running"]))
    assert _plan(api, other).private == ()
    for one in (server, other):
        one.delete().wait_until_finished()


async def test_a_network_that_comes_while_the_server_is_made_is_there_when_it_runs(module_api: Api) -> None:
    api = module_api
    subnet = {"type": "cloud", "network_zone": await api.network_zone(), "ip_range": "10.4.1.0/24"}
    made = await api.http.post("/networks", json={"name": "early", "ip_range": "10.4.0.0/16", "subnets": [subnet]})
    network = made.json()["network"]["id"]
    created = (await api.create("early")).json()
    server = created["server"]["id"]

    attached = await api.http.post(f"/servers/{server}/actions/attach_to_network", json={"network": network})
    for action in (attached.json()["action"], created["next_actions"][0]):
        await api.succeeded(action["id"])

    plan = api.region.host.plan_of(server)
    assert plan is not None
    assert [port.network_id for port in plan.private] == [network]
    assert api.region.host.nics_of(server) == set(plan.members)
    await api.succeeded((await api.http.delete(f"/servers/{server}")).json()["action"]["id"])
