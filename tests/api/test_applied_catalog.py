"""A catalog that is applied while the API runs: the next order goes by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import pytest_asyncio

from tests.fix_api import Api

PAST, FUTURE = (
    "{announced: 2026-01-01, unavailable_after: 2026-02-01}",
    "{announced: 2026-01-01, unavailable_after: 2099-01-01}",
)


@pytest_asyncio.fixture
async def shop(installation: Api) -> AsyncIterator[Api]:
    yield installation
    await installation.offer("default_location: null\nserver_types: [{name: px1, deprecation: null, locations: null}]")


async def ordered(api: Api, name: str, **wishes: Any) -> dict[str, Any]:
    """An order that is granted, and not waited for."""
    body = {"name": name, "server_type": "px1", "image": "tiny", "start_after_create": False, **wishes}
    reply = await api.http.post("/servers", json=body)
    assert reply.status_code == 201, reply.text
    server: dict[str, Any] = reply.json()["server"]
    return server


async def refusal(api: Api, **wishes: Any) -> tuple[int, str, list[str]]:
    reply = await api.create("refused", **wishes)
    error = reply.json()["error"]
    return reply.status_code, error["code"], [one["name"] for one in (error["details"] or {}).get("fields", ())]


async def test_a_type_can_be_ordered_as_soon_as_it_is_there(shop: Api) -> None:
    before = await refusal(shop, server_type="fresh")
    await shop.offer("server_types: [{name: fresh, id: 5001, cores: 1, memory: 1 GiB, disk: 3 GiB}]")

    assert before == (422, "invalid_input", ["server_type"])
    assert (await ordered(shop, "by-name", server_type="fresh"))["server_type"]["id"] == 5001
    assert (await ordered(shop, "by-id", server_type=5001))["server_type"]["name"] == "fresh"
    assert (await ordered(shop, "by-digits", server_type="5001"))["primary_disk_size"] == 3


async def test_a_deprecated_type_can_be_ordered_until_its_time_is_over(shop: Api) -> None:
    await shop.offer(f"server_types: [{{name: px1, deprecation: {FUTURE}}}]")
    granted = await ordered(shop, "while-it-lasts")
    await shop.offer(f"server_types: [{{name: px1, deprecation: {PAST}}}]")

    assert await refusal(shop) == (422, "invalid_input", ["server_type"])
    seen = (await shop.http.get(f"/servers/{granted['id']}")).json()["server"]
    assert seen["server_type"]["deprecation"]["unavailable_after"] == "2026-02-01T00:00:00+00:00"


async def test_a_type_is_ordered_only_where_it_is_offered(shop: Api) -> None:
    place = shop.region.location
    await shop.offer("network_zones: [far]\nlocations: [{name: far1, network_zone: far}]")
    await shop.offer("server_types: [{name: px1, locations: [{name: far1}]}]")
    elsewhere = await refusal(shop)
    await shop.offer(f"server_types: [{{name: px1, locations: [{{name: {place}, deprecation: {PAST}}}]}}]")
    ended_here = await refusal(shop)
    await shop.offer(f"server_types: [{{name: px1, locations: [{{name: {place}}}]}}]")

    assert (elsewhere, ended_here) == ((422, "invalid_input", ["location"]), (422, "invalid_input", ["server_type"]))
    assert (await ordered(shop, "offered-here"))["location"]["name"] == place


async def test_an_image_whose_time_is_over_makes_no_servers_and_an_alias_of_one_does(shop: Api) -> None:
    await shop.offer("images: [{name: debian-12, id: 114690387, source: tiny}, {name: unbuilt}]")
    by_name, by_id = await ordered(shop, "alias", image="debian-12"), await ordered(shop, "alias-id", image=114690387)
    unbuilt = await refusal(shop, image="unbuilt")
    await shop.offer(f"images: [{{name: debian-12, deprecation: {PAST}}}]")

    assert (by_name["image"]["name"], by_id["image"]["id"]) == ("debian-12", 114690387)
    assert unbuilt == (422, "invalid_input", ["image"])
    assert await refusal(shop, image="debian-12") == (422, "invalid_input", ["image"])


async def test_the_default_location_takes_what_names_none(shop: Api) -> None:
    """The catalog's word counts before the setting's. The new location has no host, which its refusal says."""
    here = await ordered(shop, "named-none")
    await shop.offer("network_zones: [far]\nlocations: [{name: far2, network_zone: far}]\ndefault_location: far2")
    body = {"name": "web", "server_type": "px1", "image": "tiny"}
    there = (await shop.http.post("/servers", json=body)).json()["error"]
    recommended = (await shop.listed("/datacenters"))["recommendation"]

    assert here["location"]["name"] == shop.region.location
    assert (there["code"], "far2" in there["message"]) == ("resource_unavailable", True)
    assert (await shop.http.get(f"/datacenters/{recommended}")).json()["datacenter"]["location"]["name"] == "far2"


async def test_addresses_come_out_of_the_pools_that_were_applied(shop: Api) -> None:
    pools = "[{location: out1, cidr: 203.0.113.0/30}, {location: out1, cidr: '2001:db8:ffff::/64'}]"
    await shop.offer(f"network_zones: [far]\nlocations: [{{name: out1, network_zone: far}}]\naddress_pools: {pools}")

    async def take(name: str, type: str) -> tuple[int, str]:
        reply = await shop.http.post("/primary_ips", json={"name": name, "type": type, "location": "out1"})
        told = reply.json()
        return reply.status_code, told["primary_ip"]["ip"] if reply.status_code == 201 else told["error"]["code"]

    taken = [await take(f"four-{number}", "ipv4") for number in range(3)]
    assert taken == [(201, "203.0.113.1"), (201, "203.0.113.2"), (412, "resource_unavailable")]
    assert await take("six", "ipv6") == (201, "2001:db8:ffff::/64")

    await shop.offer("address_pools: [{location: out1, cidr: 203.0.113.4/30}]")
    status, more = await take("four-more", "ipv4")
    assert (status, ip_address(more) in ip_network("203.0.113.4/30")) == (201, True)


async def test_an_address_is_called_by_the_template_until_its_owner_says_otherwise(shop: Api) -> None:
    await shop.offer("dns: {ptr_template: 'host-{ip}.example.com'}")
    server = await ordered(shop, "called")
    ip = server["public_net"]["ipv4"]["ip"]
    before = server["public_net"]["ipv4"]["dns_ptr"]
    url = f"/servers/{server['id']}"
    for name in ("mine.example.com", None):
        reply = await shop.http.post(f"{url}/actions/change_dns_ptr", json={"ip": ip, "dns_ptr": name})
        assert reply.status_code == 201, reply.text
        await shop.succeeded(reply.json()["action"]["id"])
        told = (await shop.http.get(url)).json()["server"]["public_net"]["ipv4"]["dns_ptr"]
        assert told == (name or before)

    assert before == f"host-{ip.replace('.', '-')}.example.com"


async def test_catalogs_applied_amid_orders_break_none(shop: Api) -> None:
    """The one changes what the others read."""
    orders = [ordered(shop, f"amid-{number}") for number in range(8)]
    offers = [
        shop.offer(
            f"server_types: [{{name: px1, description: 'version {number}'}}, {{name: n{number}, cores: 1, "
            "memory: 1 GiB, disk: 2 GiB}]"
        )
        for number in range(8)
    ]
    await asyncio.gather(*orders, *offers)

    names = {one["name"] for one in (await shop.listed("/server_types", per_page=50))["server_types"]}
    assert {f"n{number}" for number in range(8)} <= names


@pytest.mark.parametrize("wanted", [{"server_type": 10**15}, {"image": 10**15}, {"location": "１"}])
async def test_an_id_that_nothing_has_is_named(shop: Api, wanted: dict[str, Any]) -> None:
    assert await refusal(shop, **wanted) == (422, "invalid_input", list(wanted))
