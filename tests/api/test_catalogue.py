"""The catalog on the wire, as hcloud-python reads it: every list, each by id and by name, and all prices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.fix_api import Api

OFFER = """
network_zones: [north]
locations:
- {name: hel1, id: 1001, description: Helsinki, country: FI, city: Helsinki, latitude: 60.17, longitude: 24.94,
   network_zone: north}
- {name: nbg1, id: 1002, country: DE, city: Nuremberg, network_zone: north}
server_types:
- {name: big, id: 2001, cores: 8, memory: 16 GiB, disk: 160 GiB, cpu_type: dedicated,
   price: {hourly: 0.05, monthly: 29.9, included_traffic: 20 TiB, per_tb_traffic: 1},
   locations: [{name: hel1, recommended: true, price: {hourly: 0.06, monthly: 31}}]}
- {name: old, id: 2002, cores: 1, memory: 1 GiB, disk: 10 GiB,
   deprecation: {announced: 2026-01-01, unavailable_after: 2026-03-01}}
load_balancer_types:
- {name: lb9, id: 3001, max_connections: 7, max_services: 1, max_targets: 2, price: {hourly: 1, monthly: 2},
   deprecation: {announced: 2026-01-01, unavailable_after: 2099-03-01}}
isos:
- {name: rescue-x86.iso, id: 4001, architecture: x86}
- {name: rescue-arm.iso, id: 4002, architecture: arm}
- {name: any.iso, id: 4003, type: private, deprecation: {announced: 2026-01-01, unavailable_after: 2026-03-01}}
pricing: {currency: USD, vat_rate: 19, primary_ipv4_hourly: 0.001, floating_ipv4_monthly: 3}
"""

NAMED = {
    "locations": ("hel1", 1001),
    "datacenters": ("hel1-dc1", None),
    "server_types": ("big", 2001),
    "load_balancer_types": ("lb9", 3001),
    "isos": ("rescue-x86.iso", 4001),
}


@pytest_asyncio.fixture(scope="module")
async def shop(installation: Api) -> AsyncIterator[Api]:
    await installation.offer(OFFER)
    yield installation


pytestmark = pytest.mark.filterwarnings("ignore:The datacenters client is deprecated:DeprecationWarning")


@pytest.mark.parametrize("kind", NAMED)
async def test_each_is_found_by_its_id_and_by_its_name(shop: Api, kind: str) -> None:
    name, id = NAMED[kind]
    client = getattr(shop.hcloud, kind)

    def look() -> tuple[Any, Any, Any]:
        named = client.get_by_name(name)
        return named, client.get_by_id(named.id), client.get_by_name(name.upper())

    named, by_id, other_case = await asyncio.to_thread(look)

    assert (named.name, by_id.name, other_case) == (name, name, None)
    assert id in (None, named.id)


@pytest.mark.parametrize("kind", NAMED)
async def test_each_list_is_whole_and_by_id(shop: Api, kind: str) -> None:
    everything = await asyncio.to_thread(getattr(shop.hcloud, kind).get_all)
    told = (await shop.listed(f"/{kind}"))[kind]

    assert [one.id for one in everything] == [one["id"] for one in told] == sorted(one.id for one in everything)
    assert len(everything) >= 3


@pytest.mark.parametrize("kind", NAMED)
async def test_what_is_not_there_is_not_found(shop: Api, kind: str) -> None:
    reply = await shop.http.get(f"/{kind}/999999")

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert (await shop.listed(f"/{kind}", name="nothing"))[kind] == []


async def test_a_location_tells_where_it_is(shop: Api) -> None:
    (hel1,) = (await shop.listed("/locations", name="hel1"))["locations"]

    assert hel1 == {
        "id": 1001,
        "name": "hel1",
        "description": "Helsinki",
        "country": "FI",
        "city": "Helsinki",
        "latitude": 60.17,
        "longitude": 24.94,
        "network_zone": "north",
    }


async def test_a_datacenter_tells_what_can_be_ordered_there(shop: Api) -> None:
    """No host is in the new locations, so that nothing is available there."""
    told = await shop.listed("/datacenters")
    by_name = {one["name"]: one for one in told["datacenters"]}
    ours, hel1 = by_name[f"{shop.region.location}-dc1"], by_name["hel1-dc1"]
    px1 = shop.region.server_type_id

    assert told["recommendation"] == ours["id"]
    assert hel1["location"]["name"] == "hel1"
    assert {px1, 2001, 2002} <= set(hel1["server_types"]["supported"])
    assert 2001 not in ours["server_types"]["supported"]
    assert hel1["server_types"]["available"] == []
    assert px1 in ours["server_types"]["available"]
    assert 2002 not in ours["server_types"]["available"]
    assert ours["server_types"]["available_for_migration"] == ours["server_types"]["available"]


async def test_a_server_type_tells_its_price_and_availability_where_it_is_offered(shop: Api) -> None:
    (big,) = (await shop.listed("/server_types", name="big"))["server_types"]

    assert (big["cores"], big["memory"], big["disk"], big["cpu_type"]) == (8, 16, 160, "dedicated")
    assert (big["deprecated"], big["deprecation"], big["included_traffic"]) == (False, None, 0)
    assert big["prices"] == [
        {
            "location": "hel1",
            "price_hourly": {"net": "0.0600000000", "gross": "0.0714000000"},
            "price_monthly": {"net": "31.0000000000", "gross": "36.8900000000"},
            "included_traffic": 0,
            "price_per_tb_traffic": {"net": "0.0000000000", "gross": "0.0000000000"},
        }
    ]
    assert big["locations"] == [
        {"id": 1001, "name": "hel1", "deprecation": None, "available": False, "recommended": True}
    ]


async def test_a_deprecated_type_says_since_when_and_until_when(shop: Api) -> None:
    old = await asyncio.to_thread(shop.hcloud.server_types.get_by_name, "old")
    (wire,) = (await shop.listed("/server_types", name="old"))["server_types"]
    (lb9,) = (await shop.listed("/load_balancer_types", name="lb9"))["load_balancer_types"]

    assert wire["deprecated"] is True
    assert {one.deprecation.unavailable_after.month for one in old.locations} == {3}
    assert {one["deprecation"]["unavailable_after"] for one in wire["locations"]} == {"2026-03-01T00:00:00+00:00"}
    assert {one["available"] for one in wire["locations"]} == {False}
    assert lb9["deprecated"] == lb9["deprecation"]["unavailable_after"] == "2099-03-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [4001, 4002, 4003]),
        ({"architecture": "x86"}, [4001]),
        ({"architecture": ["x86", "arm"]}, [4001, 4002]),
        ({"architecture": "arm", "include_architecture_wildcard": "True"}, [4002, 4003]),
        ({"include_architecture_wildcard": "true"}, [4001, 4002, 4003]),
        ({"name": "any.iso"}, [4003]),
        ({"sort": "name:desc"}, [4001, 4002, 4003]),
    ],
)
async def test_isos_are_filtered(shop: Api, query: dict[str, Any], found: list[int]) -> None:
    assert [one["id"] for one in (await shop.listed("/isos", **query))["isos"]] == found


async def test_an_iso_says_null_for_what_it_has_not(shop: Api) -> None:
    one = (await shop.http.get("/isos/4001")).json()["iso"]
    unknown = (await shop.http.get("/isos/4003")).json()["iso"]

    assert (one["deprecated"], one["deprecation"], one["type"]) == (None, None, "public")
    assert (unknown["architecture"], unknown["type"]) == (None, "private")
    assert unknown["deprecated"] == "2026-03-01T00:00:00+00:00"


async def test_pricing_has_everything_that_clients_read(shop: Api) -> None:
    pricing = (await shop.http.get("/pricing")).json()["pricing"]

    assert set(pricing) == {
        *("currency", "vat_rate", "primary_ips", "floating_ips", "floating_ip", "image", "volume", "server_backup"),
        *("server_types", "load_balancer_types", "traffic"),
    }
    assert (pricing["currency"], pricing["vat_rate"]) == ("USD", "19.000000")
    # hcloud-go makes room for as many primary IPs as there are floating IPs.
    assert [one["type"] for one in pricing["primary_ips"]] == ["ipv4", "ipv6"]
    assert [one["type"] for one in pricing["floating_ips"]] == ["ipv4", "ipv6"]
    assert {one["location"] for one in pricing["primary_ips"][0]["prices"]} == {shop.region.location, "hel1", "nbg1"}
    assert pricing["primary_ips"][0]["prices"][0]["price_hourly"] == {"net": "0.0010000000", "gross": "0.0011900000"}
    assert pricing["floating_ip"]["price_monthly"]["gross"] == "3.5700000000"
    types = {one["name"]: one for one in pricing["server_types"]}
    assert [price["location"] for price in types["big"]["prices"]] == ["hel1"]
    assert {one["name"] for one in pricing["load_balancer_types"]} == {"lb9", "lb11", "lb21", "lb31"}
