"""Firewalls, as hcloud-python has them: their rules, and the servers that have them by id or by label."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hcloud import Client
from hcloud.actions import BoundAction
from hcloud.firewalls import BoundFirewall, FirewallResource, FirewallResourceLabelSelector, FirewallRule
from hcloud.servers import BoundServer, Server, ServerCreatePublicNetwork

from tests.api.refusals import code_of, fields_of
from tests.api.stopped import make_server
from tests.fix_api import Api

FAR = 10**9
"""An id that nobody has."""

NO_PUBLIC = ServerCreatePublicNetwork(enable_ipv4=False, enable_ipv6=False)
WEB = {"direction": "in", "protocol": "tcp", "port": "80", "source_ips": ["0.0.0.0/0"]}


def selecting(text: str) -> dict[str, Any]:
    return {"type": "label_selector", "label_selector": {"selector": text}}


def by_id(server: Server | int) -> FirewallResource:
    return FirewallResource("server", server=server if isinstance(server, Server) else Server(id=server))


def by_labels(selector: str) -> FirewallResource:
    return FirewallResource("label_selector", label_selector=FirewallResourceLabelSelector(selector))


async def test_a_firewall_keeps_its_rules_in_one_way_of_writing(module_api: Api) -> None:
    await asyncio.to_thread(_rules, module_api.hcloud)


def _rules(hcloud: Client) -> None:
    out = FirewallRule("out", "udp", [], "any", ["10.0.0.0/8"])
    web = FirewallRule("in", "tcp", ["Aaaa:aaaa:aaaa:aaaa::/64", "aaaa:aaaa:aaaa:aaaa:0::/64", "0.0.0.0/0"], "80-85")
    ping = FirewallRule("in", "icmp", ["192.0.2.1/32"], description="pings")
    created = hcloud.firewalls.create("rules", [out, web, ping], labels={"a": "b"})
    _wait(created.actions)
    firewall = hcloud.firewalls.get_by_id(created.firewall.id)

    assert [action.command for action in created.actions] == ["set_firewall_rules"]
    assert [_told(rule) for rule in firewall.rules] == [
        ("in", "tcp", "80-85", ["aaaa:aaaa:aaaa:aaaa::/64", "0.0.0.0/0"], [], None),
        ("in", "icmp", None, ["192.0.2.1/32"], [], "pings"),
        ("out", "udp", "any", [], ["10.0.0.0/8"], None),
    ]
    assert [one.id for one in hcloud.firewalls.get_all(label_selector="a=b", name="rules")] == [firewall.id]

    _wait(firewall.set_rules([]))
    assert hcloud.firewalls.get_by_name("rules").rules == []
    renamed = firewall.update(name="new rules", labels={})
    assert (renamed.name, renamed.labels) == ("new rules", {})
    hcloud.firewalls.create("rules")
    assert code_of(lambda: hcloud.firewalls.create("new rules")) == "uniqueness_error"
    assert code_of(lambda: firewall.update(name="rules")) == "uniqueness_error"
    assert [one.name for one in hcloud.firewalls.get_all(sort=["name:desc"])][:2] == ["rules", "new rules"]
    assert [action.command for action in firewall.get_actions()] == ["set_firewall_rules"] * 2
    assert firewall.delete()
    assert code_of(lambda: hcloud.firewalls.get_by_id(firewall.id)) == "not_found"


def _told(rule: FirewallRule) -> tuple[Any, ...]:
    return rule.direction, rule.protocol, rule.port, rule.source_ips, rule.destination_ips, rule.description


async def test_a_firewall_comes_to_servers_and_leaves_them(module_api: Api) -> None:
    await asyncio.to_thread(_by_id, module_api.hcloud, module_api.region.location)
    await module_api.region.assert_balanced()


def _by_id(hcloud: Client, location: str) -> None:
    first = hcloud.firewalls.create("first").firewall
    server = make_server(hcloud, location, "by-id", firewalls=[first])
    assert _firewalls(hcloud, server) == [(first.id, "applied")]
    assert _applied_to(hcloud, first) == [server.id]
    assert code_of(first.delete) == "resource_in_use"

    created = hcloud.firewalls.create("second", [FirewallRule("in", "esp", ["::/0"])], resources=[by_id(server)])
    _wait(created.actions)
    second = created.firewall
    assert [action.command for action in created.actions] == ["set_firewall_rules", "apply_firewall"]
    assert created.actions[1].resources == [
        {"id": second.id, "type": "firewall"},
        {"id": server.id, "type": "server"},
    ]
    assert _firewalls(hcloud, server) == [(first.id, "applied"), (second.id, "applied")]
    assert (second.apply_to_resources([]), second.remove_from_resources([])) == ([], [])  # as Terraform's provider asks
    assert code_of(lambda: second.apply_to_resources([by_id(server)])) == "firewall_already_applied"
    assert code_of(lambda: second.apply_to_resources([by_id(FAR)])) == "firewall_resource_not_found"
    assert code_of(lambda: second.remove_from_resources([by_id(FAR)])) == "firewall_resource_not_found"

    again = second.set_rules([FirewallRule("in", "gre", ["::/0"])])
    _wait(again)
    assert [action.command for action in again] == ["set_firewall_rules", "apply_firewall"]
    removed = second.remove_from_resources([by_id(server)])
    _wait(removed)
    assert [action.command for action in removed] == ["remove_firewall"]
    _wait(second.remove_from_resources([by_id(server)]))
    assert second.delete()
    assert _firewalls(hcloud, server) == [(first.id, "applied")]

    server.delete().wait_until_finished()
    assert _applied_to(hcloud, first) == []
    assert first.delete()


async def test_a_label_selector_holds_for_the_labels_of_the_moment(module_api: Api) -> None:
    await asyncio.to_thread(_by_labels, module_api.hcloud, module_api.region.location)
    await module_api.region.assert_balanced()


def _by_labels(hcloud: Client, location: str) -> None:
    web = make_server(hcloud, location, "web", labels={"role": "web"})
    hidden = make_server(hcloud, location, "hidden", public_net=NO_PUBLIC, labels={"role": "web"})
    created = hcloud.firewalls.create("by labels", resources=[by_labels("role in (web)"), by_labels("role=db")])
    _wait(created.actions)
    firewall = created.firewall
    assert [action.resources for action in created.actions] == [[{"id": firewall.id, "type": "firewall"}]] * 2
    assert _matched(firewall) == {"role in (web)": [web.id], "role=db": []}
    assert _firewalls(hcloud, web) == [(firewall.id, "applied")]
    assert _firewalls(hcloud, hidden) == []

    db = make_server(hcloud, location, "db", labels={"role": "db"})
    assert _firewalls(hcloud, db) == [(firewall.id, "applied")]
    web.update(labels={"role": "db"})
    assert _matched(hcloud.firewalls.get_by_id(firewall.id)) == {"role in (web)": [], "role=db": [web.id, db.id]}
    listed = {one.id: one for one in hcloud.servers.get_all()}
    assert [len(listed[one.id].public_net.firewalls) for one in (web, db, hidden)] == [1, 1, 0]
    web.update(labels={})
    assert _firewalls(hcloud, web) == []

    assert code_of(lambda: firewall.apply_to_resources([by_labels("role=db")])) == "firewall_already_applied"
    assert code_of(lambda: firewall.remove_from_resources([by_id(db)])) == "firewall_managed_by_label_selector"
    _wait(firewall.remove_from_resources([by_id(hidden), by_id(web)]))
    _wait(firewall.apply_to_resources([by_id(db)]))  # which beats the selector
    assert _firewalls(hcloud, db) == [(firewall.id, "applied")]
    told = firewall.set_rules([FirewallRule("in", "icmp", ["::/0"])])
    assert [action.command for action in told] == ["set_firewall_rules", "apply_firewall"]
    _wait(told)
    _wait(firewall.remove_from_resources([by_id(db)]))
    assert _firewalls(hcloud, db) == [(firewall.id, "applied")]

    assert code_of(firewall.delete) == "resource_in_use"
    _wait(firewall.remove_from_resources([by_labels("role in (web)"), by_labels("role=db"), by_labels("never")]))
    assert firewall.delete()
    assert _firewalls(hcloud, db) == []
    for server in (web, hidden, db):
        server.delete().wait_until_finished()


async def test_firewalls_are_for_servers_with_a_public_address(module_api: Api) -> None:
    await asyncio.to_thread(_private, module_api.hcloud, module_api.region.location)
    await module_api.region.assert_balanced()


def _private(hcloud: Client, location: str) -> None:
    firewall = hcloud.firewalls.create("public only").firewall
    server = make_server(hcloud, location, "private", public_net=NO_PUBLIC)

    assert code_of(lambda: firewall.apply_to_resources([by_id(server)])) == "private_net_only_server"
    assert code_of(lambda: hcloud.firewalls.create("no", resources=[by_id(server)])) == "incompatible_network_type"
    assert code_of(lambda: hcloud.firewalls.create("no", resources=[by_id(FAR)])) == "firewall_resource_not_found"
    assert code_of(lambda: hcloud.firewalls.create("no", resources=[by_id(server)] * 2)) == "server_already_added"
    wrong = {"public_net": NO_PUBLIC, "firewalls": [firewall]}
    assert code_of(lambda: make_server(hcloud, location, "no", **wrong)) == "invalid_input"
    assert hcloud.firewalls.get_by_name("no") is None
    server.delete().wait_until_finished()
    assert firewall.delete()


async def test_what_terraform_echoes_is_passed_over(module_api: Api) -> None:
    id = await _firewall(module_api, "echoed")
    target = selecting("echo")
    path = f"/firewalls/{id}/actions"
    await module_api.http.post(f"{path}/apply_to_resources", json={"apply_to": [target]})
    told = (await module_api.http.get(f"/firewalls/{id}")).json()["firewall"]["applied_to"]

    reply = await module_api.http.post(f"{path}/remove_from_resources", json={"remove_from": told})

    assert told == [{**target, "applied_to_resources": []}]
    assert reply.status_code == 201
    assert (await module_api.http.delete(f"/firewalls/{id}")).status_code == 204


async def test_servers_have_their_actions_after_those_for_label_selectors(module_api: Api) -> None:
    """A change for many leaves servers to actions of their own, which begin after it."""
    server = (await module_api.create("in-turn", start_after_create=False)).json()
    await module_api.succeeded(server["action"]["id"])
    targets = [{"type": "server", "server": {"id": server["server"]["id"]}}, selecting("ordered")]
    made = (await module_api.http.post("/firewalls", json={"name": "ordered", "apply_to": targets})).json()
    path = f"/firewalls/{made['firewall']['id']}"
    await module_api.http.post(f"{path}/actions/remove_from_resources", json={"remove_from": targets})

    again = (await module_api.http.post(f"{path}/actions/apply_to_resources", json={"apply_to": targets})).json()

    for begun in (made["actions"], again["actions"]):
        in_turn = [[about["type"] for about in one["resources"]] for one in sorted(begun, key=lambda one: one["id"])]
        assert in_turn == [["firewall"], ["firewall", "server"]]
    await module_api.http.post(f"{path}/actions/remove_from_resources", json={"remove_from": targets})
    assert (await module_api.http.delete(path)).status_code == 204
    await module_api.http.delete(f"/servers/{server['server']['id']}")


async def test_a_repetition_applies_once(module_api: Api) -> None:
    body = {"name": "said twice", "apply_to": [selecting("twice")]}
    key = {"Idempotency-Key": "twice"}

    first, second = [await module_api.http.post("/firewalls", json=body, headers=key) for _ in range(2)]

    assert (first.status_code, first.json()) == (201, second.json())
    found = (await module_api.http.get("/firewalls", params={"name": "said twice"})).json()["firewalls"]
    assert [one["id"] for one in found] == [first.json()["firewall"]["id"]]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "x" * 129}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"labels": {"-": "b"}}, ["labels"]),
        ({"rules": [{}]}, ["rules.0.direction", "rules.0.protocol"]),
        ({"rules": [{"direction": "up", "protocol": "sctp"}]}, ["rules.0.direction", "rules.0.protocol"]),
        ({"rules": [{"direction": "in", "protocol": "tcp"}]}, ["rules.0.port", "rules.0.source_ips"]),
        ({"rules": [WEB, {**WEB, "port": "70000"}]}, ["rules.1.port"]),
        ({"rules": [{**WEB, "protocol": "icmp"}]}, ["rules.0.port"]),
        (
            {"rules": [{**WEB, "source_ips": ["::/0", "10.0.0.1/8", "x"]}]},
            ["rules.0.source_ips.1", "rules.0.source_ips.2"],
        ),
        ({"rules": [{**WEB, "source_ips": [f"10.0.0.{n}/32" for n in range(101)]}]}, ["rules.0.source_ips"]),
        ({"rules": [{**WEB, "destination_ips": ["::/0"]}]}, ["rules.0.destination_ips"]),
        ({"rules": [{**WEB, "direction": "out"}]}, ["rules.0.source_ips", "rules.0.destination_ips"]),
        ({"rules": [{**WEB, "description": "x" * 256}]}, ["rules.0.description"]),
        ({"rules": [WEB] * 51}, ["rules"]),
        ({"apply_to": [{"type": "server"}]}, ["apply_to.0.server"]),
        ({"apply_to": [{"type": "server", "server": {}}]}, ["apply_to.0.server.id"]),
        (
            {"apply_to": [{"type": "label_selector", "server": {"id": 1}}]},
            ["apply_to.0.server", "apply_to.0.label_selector"],
        ),
        (
            {"apply_to": [selecting(text) for text in ("", " ", "a b", "a" * 1001)]},
            [f"apply_to.{n}.label_selector.selector" for n in range(4)],
        ),
        ({"apply_to": [{"type": "network"}]}, ["apply_to.0.type"]),
    ],
)
async def test_what_cannot_be_is_named_field_by_field(module_api: Api, body: dict[str, Any], fields: list[str]) -> None:
    reply = await module_api.http.post("/firewalls", json={"name": "wrong", **body})

    assert fields_of(reply) == fields
    assert (await module_api.http.get("/firewalls", params={"name": "wrong"})).json()["firewalls"] == []


async def test_a_server_names_each_firewall_that_is_missing(module_api: Api) -> None:
    there = await _firewall(module_api, "there")
    asked = [{"firewall": id} for id in (FAR, there, FAR + 1)]

    reply = await module_api.create("wrong", firewalls=asked, image="none")
    many = await module_api.create("wrong", firewalls=[{"firewall": id} for id in range(1, 7)])

    assert {one["name"]: len(one["messages"]) for one in reply.json()["error"]["details"]["fields"]} == {
        "image": 1,
        "firewalls": 2,
    }
    assert fields_of(many) == ["firewalls"]
    assert (await module_api.http.delete(f"/firewalls/{there}")).status_code == 204


@pytest.mark.parametrize("action", ["apply_to_resources", "remove_from_resources", "set_rules"])
async def test_a_change_says_what_it_needs(module_api: Api, action: str) -> None:
    field = {"apply_to_resources": "apply_to", "remove_from_resources": "remove_from", "set_rules": "rules"}[action]

    reply = await module_api.http.post(f"/firewalls/1/actions/{action}", json={})

    assert fields_of(reply) == [field]


def _firewalls(hcloud: Client, server: BoundServer) -> list[tuple[int, str]]:
    found = hcloud.servers.get_by_id(server.id).public_net.firewalls
    return [(one.firewall.id, one.status) for one in found]


def _applied_to(hcloud: Client, firewall: BoundFirewall) -> list[int]:
    return [one.server.id for one in hcloud.firewalls.get_by_id(firewall.id).applied_to]


def _matched(firewall: BoundFirewall) -> dict[str, list[int]]:
    return {
        one.label_selector.selector: [to.server.id for to in one.applied_to_resources or []]
        for one in firewall.applied_to
    }


def _wait(actions: list[BoundAction]) -> None:
    for action in actions:
        action.wait_until_finished()


async def _firewall(api: Api, name: str) -> int:
    return int((await api.http.post("/firewalls", json={"name": name})).json()["firewall"]["id"])
