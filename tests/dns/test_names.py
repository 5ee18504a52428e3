"""Names of servers on a real name server: they come and go with them, and their owners' own records win."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from infra.domain.reverse_zones import ptr_name
from infra.drivers.simulated import Fault
from tests.dns.acts import done, values, zone_of
from tests.fix_api import Api
from tests.fix_dns import NameServer
from tests.fix_region import eventually, serving_another_project

OWN = ["192.0.2.77"]


async def server_of(api: Api, name: str, **wishes: Any) -> dict[str, Any]:
    """A server that runs. Its host reports: on a busy machine the module takes longer than a report counts."""
    await reporting(api)
    reply = await api.create(name, **wishes)
    assert reply.status_code == 201, reply.text
    await api.succeeded(reply.json()["action"]["id"])
    server: dict[str, Any] = (await api.http.get(f"/servers/{reply.json()['server']['id']}")).json()["server"]
    return server


async def reporting(api: Api) -> None:
    await api.region.execute("UPDATE hosts SET reported = now() WHERE location_id = %s", api.region.location_id)


async def gone(api: Api, server: dict[str, Any]) -> None:
    reply = await api.http.delete(f"/servers/{server['id']}")
    await api.succeeded(reply.json()["action"]["id"])


def addresses(server: dict[str, Any]) -> tuple[str, str]:
    net = server["public_net"]
    return net["ipv4"]["ip"], net["ipv6"]["ip"].replace("::/64", "::1")


def answering(name_server: NameServer, name: str, type: str, wanted: object) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return await name_server.ask(name, type) == wanted

    return answers


async def test_a_servers_names_live_as_long_as_it_does(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"lives.{module_api.region.location}.example")
    server = await server_of(module_api, f"Web.{zone}")
    v4, v6 = addresses(server)
    assert await name_server.ask(f"web.{zone}", "A") == [v4]
    assert await name_server.ask(f"web.{zone}", "AAAA", "::1") == [v6]
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"web.{zone}."]
    assert await name_server.ask(ptr_name(v6), "PTR") == [f"web.{zone}."]

    await gone(module_api, server)
    for name in (f"web.{zone}", ptr_name(v4), ptr_name(v6)):
        assert await name_server.ask(name, "A") == "NXDOMAIN"


async def test_an_address_without_a_name_has_the_default_one(module_api: Api, name_server: NameServer) -> None:
    server = await server_of(module_api, "of-no-zone.nowhere.example")
    v4, v6 = addresses(server)
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"{server['public_net']['ipv4']['dns_ptr']}."]
    assert await name_server.ask(ptr_name(v6), "PTR") in ("NXDOMAIN", "REFUSED")


async def test_a_failed_create_leaves_no_name(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"fails.{module_api.region.location}.example")
    await reporting(module_api)
    module_api.region.host.inject(Fault("machines.start", when="after", error="ImageUnusable"))
    reply = await module_api.create(f"web.{zone}")
    v4, _ = addresses(reply.json()["server"])

    async def failed() -> bool:
        action = (await module_api.http.get(f"/actions/{reply.json()['action']['id']}")).json()["action"]
        return bool(action["status"] == "error")

    await eventually(failed)
    assert await name_server.ask(f"web.{zone}", "A") == "NXDOMAIN"
    assert await name_server.ask(ptr_name(v4), "PTR") == "NXDOMAIN"


async def test_a_server_is_found_by_its_new_name(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"renames.{module_api.region.location}.example")
    server = await server_of(module_api, f"old.{zone}")
    v4, _ = addresses(server)
    assert (await module_api.http.put(f"/servers/{server['id']}", json={"name": f"new.{zone}"})).status_code == 200
    await eventually(answering(name_server, f"new.{zone}", "A", [v4]))
    await eventually(answering(name_server, ptr_name(v4), "PTR", [f"new.{zone}."]))
    assert await name_server.ask(f"old.{zone}", "A") == "NXDOMAIN"


async def test_an_owners_records_win_and_give_way_again(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"wins.{module_api.region.location}.example")
    await done(module_api, f"/zones/{zone}/rrsets", name="web", type="A", records=values(*OWN))
    server = await server_of(module_api, f"web.{zone}")
    v4, v6 = addresses(server)
    assert await name_server.ask(f"web.{zone}", "A") == OWN
    assert await name_server.ask(f"web.{zone}", "AAAA") == [v6]

    await done(module_api, f"/zones/{zone}/rrsets/web/A", "DELETE")
    assert await name_server.ask(f"web.{zone}", "A") == [v4]

    await done(module_api, f"/zones/{zone}/rrsets", name="web", type="CNAME", records=values("else.example.net."))
    assert await name_server.ask(f"web.{zone}", "CNAME") == ["else.example.net."]
    assert await name_server.ask(f"web.{zone}", "AAAA") == []

    await done(module_api, f"/zones/{zone}/rrsets/web/CNAME", "DELETE")
    assert (await name_server.ask(f"web.{zone}", "A"), await name_server.ask(f"web.{zone}", "AAAA")) == ([v4], [v6])


async def test_zones_made_later_take_their_servers_and_give_them_back(module_api: Api, name_server: NameServer) -> None:
    domain = f"later.{module_api.region.location}.example"
    server = await server_of(module_api, f"web.part.{domain}")
    v4, _ = addresses(server)
    default = await name_server.ask(ptr_name(v4), "PTR")

    await zone_of(module_api, domain)
    assert await name_server.ask(f"web.part.{domain}", "A") == [v4]
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"web.part.{domain}."]

    await zone_of(module_api, f"part.{domain}")
    assert await name_server.ask(f"web.part.{domain}", "A") == [v4]
    await done(module_api, f"/zones/part.{domain}", "DELETE")
    assert await name_server.ask(f"web.part.{domain}", "A") == [v4]

    await done(module_api, f"/zones/{domain}", "DELETE")
    assert await name_server.ask(f"web.part.{domain}", "A") == "REFUSED"
    assert await name_server.ask(ptr_name(v4), "PTR") == default


async def test_an_address_is_called_what_its_owner_says(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"ptr.{module_api.region.location}.example")
    server = await server_of(module_api, f"web.{zone}")
    v4, v6 = addresses(server)
    another = v6.replace("::1", "::25")
    path = f"/servers/{server['id']}/actions/change_dns_ptr"
    await done(module_api, path, ip=v4, dns_ptr="Mail.example.com")
    await done(module_api, path, ip=another, dns_ptr="mail6.example.com")
    assert await name_server.ask(ptr_name(v4), "PTR") == ["mail.example.com."]
    assert await name_server.ask(ptr_name(another), "PTR") == ["mail6.example.com."]
    assert await name_server.ask(ptr_name(v6), "PTR") == [f"web.{zone}."]

    await done(module_api, path, ip=v4, dns_ptr=None)
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"web.{zone}."]
    await gone(module_api, server)
    await eventually(answering(name_server, ptr_name(another), "PTR", "NXDOMAIN"))


async def test_a_load_balancers_addresses_have_names(module_api: Api, name_server: NameServer) -> None:
    body = {"name": "named", "load_balancer_type": "lb11", "location": module_api.region.location}
    reply = await module_api.http.post("/load_balancers", json=body)
    assert reply.status_code == 201, reply.text
    made = reply.json()["load_balancer"]
    v4, v6 = made["public_net"]["ipv4"]["ip"], made["public_net"]["ipv6"]["ip"]
    await module_api.succeeded(reply.json()["action"]["id"])
    default = [f"{made['public_net']['ipv4']['dns_ptr']}."]
    await eventually(answering(name_server, ptr_name(v4), "PTR", default))  # nobody waits for a default name
    await done(module_api, f"/load_balancers/{made['id']}/actions/change_dns_ptr", ip=v6, dns_ptr="lb.example.com")
    assert await name_server.ask(ptr_name(v6), "PTR") == ["lb.example.com."]

    assert (await module_api.http.delete(f"/load_balancers/{made['id']}")).is_success
    for address in (v4, v6):
        await eventually(answering(name_server, ptr_name(address), "PTR", "NXDOMAIN"))


async def test_a_servers_name_follows_its_primary_ip(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"moves.{module_api.region.location}.example")
    server = await server_of(module_api, f"web.{zone}")
    v4, v6 = addresses(server)
    await done(module_api, f"/servers/{server['id']}/actions/poweroff")
    await eventually(lambda: module_api.unlocked(server["id"]))
    await done(module_api, f"/primary_ips/{server['public_net']['ipv4']['id']}/actions/unassign")
    assert await name_server.ask(f"web.{zone}", "A") == []
    assert await name_server.ask(f"web.{zone}", "AAAA") == [v6]
    (default,) = await name_server.ask(ptr_name(v4), "PTR")
    assert default != f"web.{zone}."

    await eventually(lambda: module_api.unlocked(server["id"]))
    path = f"/primary_ips/{server['public_net']['ipv4']['id']}/actions/assign"
    await done(module_api, path, assignee_id=server["id"], assignee_type="server")
    assert await name_server.ask(f"web.{zone}", "A") == [v4]
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"web.{zone}."]


async def test_a_server_of_another_project_has_no_name_here(module_api: Api, name_server: NameServer) -> None:
    await reporting(module_api)
    zone = await zone_of(module_api, f"others.{module_api.region.location}.example")
    async with serving_another_project(module_api.region) as token:
        headers = {"Authorization": f"Bearer {token}"}
        body = {"name": f"web.{zone}", "server_type": "px1", "image": "tiny", "location": module_api.region.location}
        reply = await module_api.http.post("/servers", json=body, headers={**headers, "Prefer": "wait=30"})
        assert reply.json()["action"]["status"] == "success", reply.text
    v4, _ = addresses(reply.json()["server"])
    assert await name_server.ask(f"web.{zone}", "A") == "NXDOMAIN"
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"{reply.json()['server']['public_net']['ipv4']['dns_ptr']}."]


async def test_a_reverse_zone_that_was_empty_has_the_name_servers_of_now(api: Api, name_server: NameServer) -> None:
    server = await server_of(api, "first")
    reverse = ptr_name(addresses(server)[0]).partition(".")[2]
    before = await name_server.ask(reverse, "NS")
    await gone(api, server)

    there = await api.region.one("SELECT name_servers FROM catalog_settings")
    await api.offer("dns: {name_servers: [late.example.com]}")
    try:
        await server_of(api, "second")
        assert before != await name_server.ask(reverse, "NS") == ["late.example.com."]
    finally:
        if there is None:
            await api.region.execute("DELETE FROM catalog_settings")
        else:
            await api.region.execute("UPDATE catalog_settings SET name_servers = %s", there["name_servers"])
