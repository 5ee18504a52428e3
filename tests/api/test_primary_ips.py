"""Primary IPs: addresses that outlast servers, as hcloud-python has them; never two servers with one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hcloud import Client
from hcloud.locations import Location
from hcloud.servers import ServerCreatePublicNetwork

from tests.api.refusals import code_of, fields_of, outcome_of
from tests.api.stopped import make_server
from tests.fix_api import Api
from tests.fix_region import eventually, serving_another_project


async def test_an_address_outlasts_the_servers_that_have_it(api: Api) -> None:
    await asyncio.to_thread(_moves, api.hcloud, api.region.location)
    await api.region.assert_balanced()


def _moves(hcloud: Client, location: str) -> None:
    made = hcloud.primary_ips.create(type="ipv4", name="front", location=Location(name=location), labels={"a": "b"})
    assert made.action is None
    ip = made.primary_ip
    assert (ip.assignee_id, ip.assignee_type, ip.auto_delete) == (None, "server", False)
    assert [one.id for one in hcloud.primary_ips.get_all(label_selector="a=b")] == [ip.id]
    assert hcloud.primary_ips.get_by_name("front").ip == ip.ip

    first = make_server(hcloud, location, "first", public_net=ServerCreatePublicNetwork(ipv4=ip))
    assert (first.public_net.ipv4.ip, first.public_net.primary_ipv4.id) == (ip.ip, ip.id)
    same = ServerCreatePublicNetwork(ipv4=ip)
    assert code_of(lambda: make_server(hcloud, location, "second", public_net=same)) == "primary_ip_assigned"
    assert code_of(lambda: hcloud.primary_ips.delete(ip)) == "must_be_unassigned"

    hcloud.primary_ips.unassign(ip).wait_until_finished()
    assert hcloud.servers.get_by_id(first.id).public_net.ipv4 is None
    other = make_server(hcloud, location, "other", public_net=ServerCreatePublicNetwork(enable_ipv4=False))
    hcloud.primary_ips.assign(ip, other.id).wait_until_finished()
    assert code_of(lambda: hcloud.primary_ips.assign(ip, first.id)) == "primary_ip_already_assigned"
    assert hcloud.servers.get_by_id(other.id).public_net.ipv4.ip == ip.ip
    own = hcloud.servers.get_by_id(other.id).public_net.primary_ipv6
    hcloud.servers.delete(other).wait_until_finished()
    left = hcloud.primary_ips.get_by_id(ip.id)
    assert left.assignee_id is None
    assert code_of(lambda: hcloud.primary_ips.get_by_id(own.id)) == "not_found"
    assert hcloud.primary_ips.delete(left)
    commands = [action.command for action in hcloud.primary_ips.actions.get_all()]
    assert commands == ["unassign_primary_ip", "assign_primary_ip"]


async def test_what_a_primary_ip_is_can_be_changed(api: Api) -> None:
    await asyncio.to_thread(_changes, api.hcloud, api.region.location)


def _changes(hcloud: Client, location: str) -> None:
    ip = hcloud.primary_ips.create(type="ipv6", name="six", location=Location(name=location)).primary_ip
    assert ip.ip.endswith("/64")
    inside = ip.ip.replace("::/64", "::5")
    hcloud.primary_ips.change_dns_ptr(ip, inside, "mail.example.com").wait_until_finished()
    assert hcloud.primary_ips.get_by_id(ip.id).dns_ptr == [{"ip": inside, "dns_ptr": "mail.example.com"}]
    hcloud.primary_ips.change_dns_ptr(ip, inside, None).wait_until_finished()
    assert hcloud.primary_ips.get_by_id(ip.id).dns_ptr == []
    assert code_of(lambda: hcloud.primary_ips.change_dns_ptr(ip, "192.0.2.1", "x.example.com")) == "invalid_input"

    hcloud.primary_ips.change_protection(ip, delete=True).wait_until_finished()
    assert code_of(lambda: hcloud.primary_ips.delete(ip)) == "protected"
    assert code_of(lambda: hcloud.primary_ips.update(ip, auto_delete=True)) == "invalid_input"
    hcloud.primary_ips.change_protection(ip, delete=False).wait_until_finished()
    changed = hcloud.primary_ips.update(ip, name="six-2", auto_delete=True, labels={"x": "y"})
    assert (changed.name, changed.auto_delete, changed.labels) == ("six-2", True, {"x": "y"})
    assert [one.id for one in hcloud.primary_ips.get_list(ip=ip.ip).primary_ips] == [ip.id]
    assert hcloud.primary_ips.delete(ip)


async def test_an_address_that_goes_with_its_server_stays_when_the_create_fails(api: Api) -> None:
    made = await _make(api, "keep", auto_delete=True)
    await api.region.set_quota(max_servers=0)
    refused = await api.create(public_net={"ipv4": made["id"]}, start_after_create=False)
    await api.region.set_quota(max_servers=10)
    granted = await api.create(public_net={"ipv4": made["id"]}, start_after_create=False)
    await api.succeeded(granted.json()["action"]["id"])
    deleting = await api.http.delete(f"/servers/{granted.json()['server']['id']}")
    await api.succeeded(deleting.json()["action"]["id"])

    assert (refused.status_code, granted.status_code) == (403, 201)
    assert (await api.http.get(f"/primary_ips/{made['id']}")).status_code == 404
    await api.region.assert_balanced()


async def test_one_of_many_orders_gets_the_address(api: Api) -> None:
    made = await _make(api, "one")

    replies = await asyncio.gather(
        *(api.create(f"s{n}", public_net={"ipv4": made["id"]}, start_after_create=False) for n in range(8))
    )

    codes = sorted(map(outcome_of, replies))
    assert codes == ["201", *["primary_ip_assigned"] * 7]
    assert len((await api.http.get("/servers")).json()["servers"]) == 1


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"ipv4": 2**50}, "public_net.ipv4"),
        ({"enable_ipv6": False, "ipv6": 2**50}, "public_net.ipv6"),
    ],
)
async def test_an_order_names_the_address_that_cannot_be(api: Api, wish: dict[str, Any], field: str) -> None:
    reply = await api.create(public_net=wish)

    assert fields_of(reply) == [field]


async def test_addresses_are_their_projects(api: Api) -> None:
    made = await _make(api, "mine")
    async with serving_another_project(api.region) as token:
        theirs = {"Authorization": f"Bearer {token}"}
        got = await api.http.get(f"/primary_ips/{made['id']}", headers=theirs)
        absent = await api.http.get(f"/primary_ips/{made['id'] + 10**6}", headers=theirs)
        ordered = await api.http.post(
            "/servers",
            headers=theirs,
            json={"name": "x", "server_type": "px1", "image": "tiny", "public_net": {"ipv4": made["id"]}},
        )

    assert got.status_code == 404
    assert got.text.replace(str(made["id"]), "?") == absent.text.replace(str(made["id"] + 10**6), "?")
    assert ordered.json()["error"]["details"]["fields"][0]["name"] == "public_net.ipv4"


async def test_a_server_that_is_off_is_reached_by_no_address_it_lost(api: Api) -> None:
    created = (await api.create(start_after_create=False)).json()
    await api.succeeded(created["action"]["id"])
    lost = created["server"]["public_net"]["ipv4"]

    unassigned = await api.http.post(f"/primary_ips/{lost['id']}/actions/unassign")
    await api.succeeded(unassigned.json()["action"]["id"])

    steps = (await api.http.get(f"/actions/{unassigned.json()['action']['id']}/timeline")).json()["timeline"]
    *beside, last = [step["name"] for step in steps]
    assert (set(beside), last) == ({"follow_change", "read_affected", "attach_ports"}, "finish_change")
    await eventually(lambda: api.unlocked(created["server"]["id"]))
    await api.region.assert_balanced()


async def test_an_owner_may_give_the_names_that_those_made_with_servers_have(api: Api) -> None:
    ahead = (await _make(api, "first"))["id"] + 100
    for number in range(ahead + 1, ahead + 9):
        await _make(api, f"primary_ip-{number}", type="ipv6")
    await api.region.one("SELECT setval('primary_ips_id_seq', %s)", ahead)

    made = (await api.create(start_after_create=False)).json()
    await api.succeeded(made["action"]["id"])

    for version in ("ipv4", "ipv6"):
        id = made["server"]["public_net"][version]["id"]
        name = (await api.http.get(f"/primary_ips/{id}")).json()["primary_ip"]["name"]
        assert name.startswith(f"primary_ip-{id}-")


async def _make(api: Api, name: str, **wishes: Any) -> dict[str, Any]:
    body = {"name": name, "type": "ipv4", "location": api.region.location, **wishes}
    reply = await api.http.post("/primary_ips", json=body)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()["primary_ip"]
    return made
