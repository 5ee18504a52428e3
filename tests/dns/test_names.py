"""Names of servers on a real name server: they come and go with them, and their owners' own records win."""

from __future__ import annotations

from typing import Any

from infra.domain.reverse_zones import ptr_name
from tests.dns.acts import zone_of
from tests.fix_api import Api
from tests.fix_dns import NameServer


async def server_of(api: Api, name: str) -> dict[str, Any]:
    """A server that runs."""
    reply = await api.create(name)
    assert reply.status_code == 201, reply.text
    await api.succeeded(reply.json()["action"]["id"])
    server: dict[str, Any] = (await api.http.get(f"/servers/{reply.json()['server']['id']}")).json()["server"]
    return server


def addresses(server: dict[str, Any]) -> tuple[str, str]:
    net = server["public_net"]
    return net["ipv4"]["ip"], net["ipv6"]["ip"].replace("::/64", "::1")


async def test_a_servers_names_live_as_long_as_it_does(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"lives.{module_api.region.location}.example")
    server = await server_of(module_api, f"Web.{zone}")
    v4, v6 = addresses(server)
    assert await name_server.ask(f"web.{zone}", "A") == [v4]
    assert await name_server.ask(f"web.{zone}", "AAAA") == [v6]
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"web.{zone}."]
    assert await name_server.ask(ptr_name(v6), "PTR") == [f"web.{zone}."]
    reply = await module_api.http.delete(f"/servers/{server['id']}")
    await module_api.succeeded(reply.json()["action"]["id"])
    for name in (f"web.{zone}", ptr_name(v4), ptr_name(v6)):
        assert await name_server.ask(name, "ANY") == "NXDOMAIN"


async def test_a_server_without_a_zone_has_its_addresses_default_name(module_api: Api, name_server: NameServer) -> None:
    server = await server_of(module_api, f"plain.{module_api.region.location}.nowhere.example")
    v4, v6 = addresses(server)
    assert await name_server.ask(ptr_name(v4), "PTR") == [f"{server['public_net']['ipv4']['dns_ptr']}."]
    assert await name_server.ask(ptr_name(v6), "PTR") in ([], "NXDOMAIN", "REFUSED")
