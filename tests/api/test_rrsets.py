"""RRSets, as hcloud-python has them: their records, TTLs, comments and protection, and the serial that tells of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hcloud.zones import ZoneRecord, ZoneRRSet

from tests.api.refusals import code_of, fields_of
from tests.fix_api import Api


@pytest_asyncio.fixture
async def zone(module_api: Api, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A zone of the test's own."""
    name = f"z{abs(hash(request.node.name))}.example.com"
    made = await module_api.http.post("/zones", json={"name": name, "mode": "primary"})
    assert made.status_code == 201, made.text
    yield name
    await module_api.http.delete(f"/zones/{name}")


async def serial(api: Api, zone: str) -> int:
    found = (await api.http.get(f"/zones/{zone}/rrsets/@/SOA")).json()["rrset"]
    return int(found["records"][0]["value"].split(" ")[2])


async def test_an_rrset_lives(module_api: Api, zone: str) -> None:
    await asyncio.to_thread(_an_rrsets_life, module_api, zone)


async def test_the_serial_rises_with_what_is_answered(module_api: Api, zone: str) -> None:
    rrset = f"/zones/{zone}/rrsets/www/A"

    async def after(path: str, body: dict[str, Any]) -> int:
        assert (await module_api.http.post(path, json=body)).is_success
        return await serial(module_api, zone)

    one, two = {"records": [{"value": "192.0.2.1"}]}, {"records": [{"value": "192.0.2.2"}]}
    serials = [
        await serial(module_api, zone),
        await after(f"{rrset}/actions/add_records", one),
        await after(f"{rrset}/actions/set_records", two),
        await after(f"{rrset}/actions/change_ttl", {"ttl": 60}),
        await after(f"{rrset}/actions/remove_records", two),
        await after(f"/zones/{zone}/rrsets", {"name": "www", "type": "A", **one}),
        await after(f"/zones/{zone}/actions/change_ttl", {"ttl": 60}),
    ]
    assert serials == sorted(set(serials))
    comment = {"records": [{"value": "192.0.2.1", "comment": "x"}]}
    assert await after(f"{rrset}/actions/update_records", comment) == serials[-1]
    assert await after(f"{rrset}/actions/change_protection", {"change": True}) == serials[-1]


def _an_rrsets_life(api: Api, name: str) -> None:
    zone = api.hcloud.zones.get(name)
    web = [ZoneRecord("192.0.2.1", "web"), ZoneRecord("192.0.2.2")]
    made = zone.create_rrset(name="www", type="A", ttl=300, labels={"a": "b"}, records=web)
    made.action.wait_until_finished()
    rrset = made.rrset
    assert (rrset.id, rrset.ttl, rrset.labels, rrset.zone.id) == ("www/A", 300, {"a": "b"}, zone.id)
    assert [(one.value, one.comment) for one in rrset.records] == [("192.0.2.1", "web"), ("192.0.2.2", None)]
    assert code_of(lambda: zone.create_rrset(name="www", type="A", records=web)) == "uniqueness_error"

    rrset.change_rrset_ttl(None).wait_until_finished()
    assert zone.get_rrset("www", "A").ttl is None
    rrset.change_rrset_ttl(120).wait_until_finished()
    rrset.add_rrset_records([ZoneRecord("192.0.2.3", "third")], ttl=120).wait_until_finished()
    assert code_of(lambda: rrset.add_rrset_records([ZoneRecord("192.0.2.4")], ttl=60)) == "invalid_input"
    assert code_of(lambda: rrset.add_rrset_records([ZoneRecord("192.0.2.3")])) == "invalid_input"
    rrset.update_rrset_records([ZoneRecord("192.0.2.2", "second"), ZoneRecord("192.0.2.3", "")]).wait_until_finished()
    told = [(one.value, one.comment) for one in zone.get_rrset("www", "A").records]
    assert told == [("192.0.2.1", "web"), ("192.0.2.2", "second"), ("192.0.2.3", "")]

    rrset.change_rrset_protection(change=True).wait_until_finished()
    for refused in (
        lambda: rrset.add_rrset_records(web),
        lambda: rrset.set_rrset_records(web),
        lambda: rrset.remove_rrset_records(web),
        lambda: rrset.update_rrset_records(web),
        lambda: rrset.change_rrset_ttl(60),
        lambda: rrset.delete_rrset(),
    ):
        assert code_of(refused) == "protected"
    assert rrset.update_rrset(labels={"c": "d"}).labels == {"c": "d"}
    rrset.change_rrset_protection(change=False).wait_until_finished()

    rrset.set_rrset_records([ZoneRecord("192.0.2.9"), ZoneRecord("192.0.2.8")]).wait_until_finished()
    assert [one.value for one in zone.get_rrset("www", "A").records] == ["192.0.2.9", "192.0.2.8"]
    assert code_of(lambda: rrset.remove_rrset_records([ZoneRecord("192.0.2.1")])) == "invalid_input"
    rrset.remove_rrset_records([ZoneRecord("192.0.2.8")]).wait_until_finished()
    rrset.remove_rrset_records([ZoneRecord("192.0.2.9")]).wait_until_finished()
    assert code_of(lambda: zone.get_rrset("www", "A")) == "not_found"

    fresh = ZoneRRSet(name="*.dev", type="TXT", zone=zone)
    zone.add_rrset_records(fresh, [ZoneRecord('"v=spf1 -all" "; x"')], ttl=60).wait_until_finished()
    found = zone.get_rrset("*.dev", "TXT")
    assert (found.ttl, found.records[0].value) == (60, '"v=spf1 -all" "; x"')
    found.delete_rrset().action.wait_until_finished()
    assert zone.get_rrset_all(type=["TXT"]) == []


async def test_the_apex_keeps_its_soa_and_ns(module_api: Api, zone: str) -> None:
    await asyncio.to_thread(_apex, module_api, zone)


def _apex(api: Api, name: str) -> None:
    zone = api.hcloud.zones.get(name)
    soa, ns = zone.get_rrset("@", "SOA"), zone.get_rrset("@", "NS")
    assert code_of(lambda: soa.delete_rrset()) == "service_error"
    assert code_of(lambda: ns.delete_rrset()) == "service_error"
    assert code_of(lambda: ns.remove_rrset_records(ns.records)) == "service_error"
    more = [ZoneRecord("ns4.example.com.")]
    ns.add_rrset_records(more).wait_until_finished()
    value = "hydrogen.ns.hetzner.com. dns.hetzner.com. 0 86400 10800 3600000 600"
    before = int(soa.records[0].value.split()[2])
    soa.set_rrset_records([ZoneRecord(value)]).wait_until_finished()
    parts = zone.get_rrset("@", "SOA").records[0].value.split(" ")
    assert int(parts[2]) >= before + 2
    assert " ".join([*parts[:2], "0", *parts[3:]]) == value
    soa.set_rrset_records([ZoneRecord(value.replace(" 0 ", " 4000000000 "))]).wait_until_finished()
    assert zone.get_rrset("@", "SOA").records[0].value == value.replace(" 0 ", " 4000000001 ")
    assert code_of(lambda: zone.create_rrset(name="@", type="CNAME", records=[ZoneRecord("a")])) == "invalid_input"


async def test_a_cname_stands_alone(module_api: Api, zone: str) -> None:
    async def create(name: str, type: str, value: str) -> httpx.Response:
        body = {"name": name, "type": type, "records": [{"value": value}]}
        return await module_api.http.post(f"/zones/{zone}/rrsets", json=body)

    assert (await create("one", "CNAME", "www")).status_code == 201
    assert (await create("two", "A", "192.0.2.1")).status_code == 201
    for name, type, value in (("one", "A", "192.0.2.1"), ("two", "CNAME", "www")):
        reply = await create(name, type, value)
        assert (reply.status_code, reply.json()["error"]["details"]["fields"][0]["name"]) == (422, "type")


async def test_raw_and_encoded_names_are_one(module_api: Api, zone: str) -> None:
    body = {"name": "*.a_b.c", "type": "A", "records": [{"value": "192.0.2.1"}]}
    await module_api.http.post(f"/zones/{zone}/rrsets", json=body)

    for path in ("@/SOA", "%40/SOA", "*.a_b.c/A", "%2A.a_b.c/A", "%2a%2ea_b%2ec/A"):
        reply = await module_api.http.get(f"/zones/{zone}/rrsets/{path}")
        assert reply.status_code == 200, path
    for path in ("@/A", "@/NONE", "SOA/@", "www./A", "%00/A"):
        reply = await module_api.http.get(f"/zones/{zone}/rrsets/{path}")
        assert reply.json()["error"]["code"] == "not_found", path


async def test_a_list_is_in_the_order_of_ids_and_a_hundred_long(module_api: Api, zone: str) -> None:
    file = "".join(f"h{n:03} A 192.0.2.1\nh{n:03} AAAA ::1\n" for n in range(60))
    text = (await module_api.http.get(f"/zones/{zone}/zonefile")).json()["zonefile"]
    await module_api.http.post(f"/zones/{zone}/actions/import_zonefile", json={"zonefile": text + file})

    async def ask(**params: Any) -> dict[str, Any]:
        return dict((await module_api.http.get(f"/zones/{zone}/rrsets", params=params)).json())

    whole = await ask(per_page=500)
    ids = [one["id"] for one in whole["rrsets"]]
    assert whole["meta"]["pagination"] | {"last_page": 2, "total_entries": 122} == whole["meta"]["pagination"]
    assert ids == [*sorted(ids)]
    assert len(ids) == 100
    assert ids[:3] == ["@/NS", "@/SOA", "h000/A"]
    assert (await ask(sort="id:desc", per_page=1))["rrsets"][0]["id"] == "h059/AAAA"
    assert [one["id"] for one in (await ask(type=["SOA", "NS"], sort="name:asc"))["rrsets"]] == ["@/NS", "@/SOA"]
    assert [one["id"] for one in (await ask(name="h001"))["rrsets"]] == ["h001/A", "h001/AAAA"]
    assert "error" in await ask(sort="ttl")


async def test_records_that_are_added_at_once_all_land(module_api: Api, zone: str) -> None:
    path = f"/zones/{zone}/rrsets/many/A/actions/add_records"
    before = await serial(module_api, zone)

    replies = await asyncio.gather(
        *(module_api.http.post(path, json={"records": [{"value": f"192.0.2.{n}"}]}) for n in range(1, 41))
    )

    assert {reply.status_code for reply in replies} == {201}
    found = (await module_api.http.get(f"/zones/{zone}/rrsets/many/A")).json()["rrset"]
    assert {one["value"] for one in found["records"]} == {f"192.0.2.{n}" for n in range(1, 41)}
    assert await serial(module_api, zone) >= before + 40
    assert (await module_api.http.get(f"/zones/{zone}")).json()["zone"]["record_count"] == 44
    over = [{"value": f"192.0.2.{n}"} for n in range(100, 111)]
    reply = await module_api.http.post(path, json={"records": over})
    assert reply.json()["error"]["details"]["fields"][0]["name"] == "records"


async def test_of_creates_at_once_one_wins(module_api: Api, zone: str) -> None:
    body = {"name": "www", "type": "A", "records": [{"value": "192.0.2.1"}]}

    replies = await asyncio.gather(*(module_api.http.post(f"/zones/{zone}/rrsets", json=body) for _ in range(20)))

    codes = Counter(reply.json().get("error", {}).get("code", "made") for reply in replies)
    assert codes == {"made": 1, "uniqueness_error": 19}


async def test_a_zone_that_is_deleted_meanwhile_takes_no_records(module_api: Api, zone: str) -> None:
    path = f"/zones/{zone}/rrsets/www/A/actions/add_records"

    deleted, *replies = await asyncio.gather(
        module_api.http.delete(f"/zones/{zone}"),
        *(module_api.http.post(path, json={"records": [{"value": f"192.0.2.{n}"}]}) for n in range(1, 11)),
    )

    assert deleted.status_code == 201
    assert {reply.status_code for reply in replies} <= {201, 404}
    assert (await module_api.http.get(f"/zones/{zone}")).status_code == 404


async def test_the_ttl_has_to_be_said_and_may_be_null(module_api: Api, zone: str) -> None:
    path = f"/zones/{zone}/rrsets/@/NS/actions/change_ttl"

    assert (await module_api.http.post(path, json={})).json()["error"]["details"]["fields"][0]["name"] == "ttl"
    assert (await module_api.http.post(path, json={"ttl": 59})).status_code == 422
    assert (await module_api.http.post(path, json={"ttl": None})).status_code == 201


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "WWW"}, ["name"]),
        ({"name": "www."}, ["name"]),
        ({"name": "-a"}, ["name"]),
        ({"name": "a.*"}, ["name"]),
        ({"name": "a/b"}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"type": "LOC"}, ["type"]),
        ({"name": "www", "type": "SOA", "records": [{"value": "a. b. 1 2 3 4 5"}]}, ["type"]),
        ({"ttl": 1}, ["ttl"]),
        ({"records": []}, ["records"]),
        ({"records": [{"value": "192.0.2.1"}, {"value": "192.0.2.1"}]}, ["records.1.value"]),
        ({"type": "AAAA", "records": [{"value": "::1"}, {"value": "0:0::1"}]}, ["records.1.value"]),
        ({"records": [{"value": "192.0.2.1 ; no"}, {"value": "x"}]}, ["records.0.value", "records.1.value"]),
        ({"records": [{"value": "192.0.2.1\n192.0.2.2"}]}, ["records.0.value"]),
        ({"records": [{"value": f"192.0.2.{n}"} for n in range(51)]}, ["records"]),
        ({"records": [{"value": "192.0.2.1", "comment": "x" * 256}]}, ["records.0.comment"]),
        ({"type": "TXT", "records": [{"value": "unquoted"}]}, ["records.0.value"]),
        ({"type": "TXT", "records": [{"value": f'"{"x" * 256}"'}]}, ["records.0.value"]),
        ({"type": "CNAME", "records": [{"value": "a"}, {"value": "b"}]}, ["records"]),
    ],
)
async def test_what_cannot_be_is_named_field_by_field(
    module_api: Api, zone: str, body: dict[str, Any], fields: list[str]
) -> None:
    asked = {"name": "www", "type": "A", "records": [{"value": "192.0.2.1"}], **body}

    reply = await module_api.http.post(f"/zones/{zone}/rrsets", json=asked)

    assert fields_of(reply) == fields


@pytest.mark.parametrize(("path", "field"), [("WWW/A", "rr_name"), ("www/LOC", "rr_type"), ("@/CNAME", "rr_type")])
async def test_records_are_not_added_where_none_can_be(module_api: Api, zone: str, path: str, field: str) -> None:
    body = {"records": [{"value": "192.0.2.1" if path.endswith("A") else "www"}]}

    reply = await module_api.http.post(f"/zones/{zone}/rrsets/{path}/actions/add_records", json=body)

    assert fields_of(reply) == [field]
