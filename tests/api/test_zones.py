"""Zones, as hcloud-python has them: made, filled from files and read back, changed and deleted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hcloud import Client
from hcloud.zones import ZonePrimaryNameserver, ZoneRecord, ZoneRRSet

from tests.api.refusals import code_of, fields_of
from tests.fix_api import Api
from tests.fix_region import serving_another_project

FILE = """\
$ORIGIN\t{zone}.
$TTL\t7200
@ 300 IN CAA 0 issue "letsencrypt.org"
@\t600\tIN\tA\t192.168.254.2 ; the first
@\t600\tIN\tA\t192.168.254.3
www\tIN\tCNAME\t{zone}.
blog\tIN\tCNAME\t@
mail\tMX\t10 mx1
anything\tIN\tTXT\t"some value" "and; more"
"""


async def test_a_primary_zone_lives(module_api: Api) -> None:
    await asyncio.to_thread(_a_zones_life, module_api.hcloud)


def _a_zones_life(hcloud: Client) -> None:
    made = hcloud.zones.create(name="life.example.com", mode="primary", labels={"a": "b"})
    made.action.wait_until_finished()
    zone = made.zone
    assert (zone.ttl, zone.mode, zone.status, zone.registrar) == (3600, "primary", "ok", "other")
    assert (zone.record_count, zone.primary_nameservers, zone.protection) == (4, [], {"delete": False})
    servers = zone.authoritative_nameservers
    assert servers.assigned == [f"ns{n}.puchify.internal." for n in (1, 2, 3)]
    assert (servers.delegated, servers.delegation_last_check, servers.delegation_status) == ([], None, "unknown")

    assert hcloud.zones.get("life.example.com").id == hcloud.zones.get(zone.id).id == zone.id
    assert [one.id for one in hcloud.zones.get_all(name="life.example.com", mode="primary")] == [zone.id]
    assert hcloud.zones.get_all(mode="secondary", label_selector="a=b") == []
    assert hcloud.zones.get_all(label_selector="a=b", sort=["name:desc"])[0].id == zone.id

    zone.change_ttl(600).wait_until_finished()
    zone.change_protection(delete=True).wait_until_finished()
    assert zone.update(labels={}).labels == {}
    seen = hcloud.zones.get(zone.id)
    assert (seen.ttl, seen.protection) == (600, {"delete": True})
    assert code_of(lambda: zone.delete()) == "protected"
    other = [ZonePrimaryNameserver("192.0.2.1")]
    assert code_of(lambda: zone.change_primary_nameservers(other)) == "incorrect_zone_mode"
    zone.change_protection(delete=False).wait_until_finished()

    commands = [action.command for action in zone.get_actions()]
    assert commands == ["create_zone", "change_ttl", "change_protection", "change_protection"]
    assert [one.command for one in hcloud.zones.get_actions_list(zone, status=["success"]).actions] == commands
    zone.delete().action.wait_until_finished()
    assert code_of(lambda: hcloud.zones.get("life.example.com")) == "not_found"


async def test_actions_are_listed_under_the_zones_name(module_api: Api) -> None:
    made = (await module_api.http.post("/zones", json={"name": "acts.example.com", "mode": "primary"})).json()
    id = made["action"]["id"]

    by_name = (await module_api.http.get("/zones/acts.example.com/actions")).json()["actions"]
    of_all = (await module_api.http.get("/zones/actions", params={"id": id})).json()["actions"]
    one = (await module_api.http.get(f"/zones/acts.example.com/actions/{id}")).json()["action"]
    any_one = (await module_api.http.get(f"/zones/actions/{id}")).json()["action"]

    assert [action["id"] for action in by_name] == [action["id"] for action in of_all] == [id]
    assert one["resources"] == any_one["resources"] == [{"id": made["zone"]["id"], "type": "zone"}]
    assert (await module_api.http.get("/zones/none.example.com/actions")).status_code == 404


async def test_a_secondary_zone_has_primaries_and_no_rrsets(module_api: Api) -> None:
    await asyncio.to_thread(_secondary, module_api.hcloud)


def _secondary(hcloud: Client) -> None:
    first = ZonePrimaryNameserver("203.0.113.1")
    keyed = ZonePrimaryNameserver("2001:db8::1", 5353, tsig_algorithm="hmac-sha256", tsig_key="c2VjcmV0")
    zone = hcloud.zones.create(name="second.example.com", mode="secondary", primary_nameservers=[first, keyed]).zone
    told = [(one.address, one.port, one.tsig_algorithm, one.tsig_key) for one in zone.primary_nameservers or []]
    assert told == [("203.0.113.1", 53, None, None), ("2001:db8::1", 5353, "hmac-sha256", "c2VjcmV0")]
    assert (zone.record_count, len(zone.authoritative_nameservers.assigned)) == (0, 3)
    assert zone.get_rrset_all() == []

    zone.change_primary_nameservers([ZonePrimaryNameserver("203.0.113.1", 5353)]).wait_until_finished()
    assert [one.port for one in hcloud.zones.get(zone.id).primary_nameservers] == [5353]
    zone.change_ttl(10800).wait_until_finished()  # as Terraform's provider asks
    assert hcloud.zones.get(zone.id).ttl == 10800
    records = [ZoneRecord("192.0.2.1")]
    assert code_of(lambda: zone.create_rrset(name="www", type="A", records=records)) == "incorrect_zone_mode"
    assert code_of(lambda: zone.export_zonefile()) == "incorrect_zone_mode"
    assert code_of(lambda: zone.import_zonefile("@ A 192.0.2.1")) == "incorrect_zone_mode"
    zone.delete().action.wait_until_finished()


async def test_a_zone_is_filled_from_a_file_and_read_back(module_api: Api) -> None:
    await asyncio.to_thread(_files, module_api.hcloud)


def _files(hcloud: Client) -> None:
    name = "filed.example.com"
    zone = hcloud.zones.create(name=name, mode="primary", zonefile=FILE.format(zone=name)).zone
    assert (zone.ttl, zone.record_count) == (7200, 4 + 7)
    address = zone.get_rrset("@", "A")
    assert (address.ttl, [one.comment for one in address.records or []]) == (600, ["the first", None])
    assert zone.get_rrset("blog", "CNAME").records[0].value == f"{name}."
    assert zone.get_rrset("www", "CNAME").ttl is None

    text = zone.export_zonefile().zonefile
    assert text.startswith(f"$ORIGIN\t{name}.\n$TTL\t7200\n")
    before = _told(zone)
    zone.import_zonefile(text).wait_until_finished()
    assert _told(zone) == before
    zone.import_zonefile(f"{text}\nfoobar\tIN\tA\t192.168.0.2\n").wait_until_finished()
    assert zone.get_rrset("foobar", "A").records[0].value == "192.168.0.2"
    assert hcloud.zones.get(name).record_count == 12

    zone.get_rrset("foobar", "A").change_rrset_protection(change=True).wait_until_finished()
    assert code_of(lambda: zone.import_zonefile(text)) == "protected"
    assert code_of(lambda: zone.delete()) == "protected"
    assert code_of(lambda: zone.import_zonefile("@ A 192.0.2.1")) == "invalid_input"


def _told(zone: Any) -> list[Any]:
    """All RRSets but for the serial."""
    return [
        (one.id, one.ttl, [(record.value, record.comment) for record in one.records])
        for one in zone.get_rrset_all()
        if one.type != "SOA"
    ]


async def test_a_zone_is_made_with_rrsets(module_api: Api) -> None:
    def make(hcloud: Client) -> Any:
        www = ZoneRRSet(name="www", type="A", ttl=60, labels={"a": "b"}, records=[ZoneRecord("192.0.2.1", "web")])
        any_host = ZoneRRSet(name="*", type="CNAME", records=[ZoneRecord("www")])
        return hcloud.zones.create(name="given.example.com", mode="primary", rrsets=[www, any_host]).zone

    zone = await asyncio.to_thread(make, module_api.hcloud)

    assert zone.record_count == 6
    reply = await module_api.http.get("/zones/given.example.com/rrsets/www/A")
    assert reply.json()["rrset"] == {
        "id": "www/A",
        "name": "www",
        "type": "A",
        "ttl": 60,
        "labels": {"a": "b"},
        "protection": {"change": False},
        "records": [{"value": "192.0.2.1", "comment": "web"}],
        "zone": zone.id,
    }


async def test_of_many_creates_at_once_one_wins(module_api: Api) -> None:
    body = {"name": "raced.example.com", "mode": "primary"}

    replies = await asyncio.gather(*(module_api.http.post("/zones", json=body) for _ in range(20)))

    codes = Counter(reply.json().get("error", {}).get("code", "made") for reply in replies)
    assert codes == {"made": 1, "uniqueness_error": 19}


async def test_a_name_is_held_over_all_projects(module_api: Api) -> None:
    body = {"name": "held.example.com", "mode": "primary"}
    assert (await module_api.http.post("/zones", json=body)).status_code == 201

    async with serving_another_project(module_api.region) as token:
        headers = {"Authorization": f"Bearer {token}"}
        reply = await module_api.http.post("/zones", json=body, headers=headers)
        theirs = await module_api.http.get("/zones/held.example.com", headers=headers)

    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "uniqueness_error")
    assert theirs.status_code == 404


@pytest.mark.parametrize("name", ["in.the.family.example", "family.example"])
async def test_nobody_has_a_part_of_another_projects_domain(module_api: Api, name: str) -> None:
    assert await _make(module_api, "the.family.example") == "made"

    async with serving_another_project(module_api.region) as token:
        theirs = await _make(module_api, name, token)
        beside = await _make(module_api, "other.family.example", token)
        for made in (name, "other.family.example"):
            await module_api.http.delete(f"/zones/{made}", headers={"Authorization": f"Bearer {token}"})
    ours = await _make(module_api, name)
    for made in (name, "the.family.example"):
        await module_api.http.delete(f"/zones/{made}")

    assert (theirs, beside, ours) == ("uniqueness_error: name", "made", "made")


async def _make(api: Api, name: str, token: str | None = None) -> str:
    """``made``, or why not."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    reply = await api.http.post("/zones", json={"name": name, "mode": "primary"}, headers=headers)
    if reply.status_code == 201:
        return "made"
    error = reply.json()["error"]
    return f"{error['code']}: {', '.join(field['name'] for field in error['details']['fields'])}"


async def test_of_two_projects_at_once_one_has_the_domain(module_api: Api) -> None:
    async with serving_another_project(module_api.region) as token:
        for turn in range(5):
            above, below = f"race{turn}.example", f"of.the.race{turn}.example"

            answers = await asyncio.gather(_make(module_api, above), _make(module_api, below, token))

            assert sorted(answers) == ["made", "uniqueness_error: name"]


async def test_a_repeated_delete_by_name_is_told_the_same(module_api: Api) -> None:
    await module_api.http.post("/zones", json={"name": "twice.example.com", "mode": "primary"})

    key = {"Idempotency-Key": "gone"}
    first = await module_api.http.delete("/zones/twice.example.com", headers=key)
    again = await module_api.http.delete("/zones/twice.example.com", headers=key)

    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 201


RECORDS = [{"value": "192.0.2.1"}]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "Wrong.example.com"}, ["name"]),
        ({"name": "wrong.example.com."}, ["name"]),
        ({"name": "wrong"}, ["name"]),
        ({"name": "wröng.example.com"}, ["name"]),
        ({"mode": "tertiary"}, ["mode"]),
        ({"ttl": 59}, ["ttl"]),
        ({"ttl": 2**31}, ["ttl"]),
        ({"mode": "secondary"}, ["primary_nameservers"]),
        (
            {"mode": "secondary", "zonefile": "", "rrsets": [{"name": "a", "type": "A", "records": RECORDS}]},
            ["primary_nameservers", "rrsets", "zonefile"],
        ),
        (
            {"mode": "secondary", "primary_nameservers": [{"address": "ns.example.com", "port": 70000}]},
            ["primary_nameservers.0.address", "primary_nameservers.0.port"],
        ),
        (
            {"mode": "secondary", "primary_nameservers": [{"address": "192.0.2.1", "tsig_key": "c2VjcmV0"}]},
            ["primary_nameservers.0"],
        ),
        (
            {"mode": "secondary", "primary_nameservers": [{"address": "192.0.2.1", "tsig_key": "no base64"}]},
            ["primary_nameservers.0.tsig_key"],
        ),
        ({"primary_nameservers": [{"address": "192.0.2.1"}]}, ["primary_nameservers"]),
        (
            {
                "rrsets": [
                    {"name": "www", "type": "A", "records": [*RECORDS, {"value": "192.0.2"}]},
                    {"name": "WWW", "type": "CNAME", "records": [{"value": "a"}, {"value": "b"}]},
                    {"name": "x", "type": "SOA", "records": [{"value": "a. b. 1 2 3 4 5"}]},
                ]
            },
            ["rrsets.0.records.1.value", "rrsets.1.name", "rrsets.1.records", "rrsets.2.type"],
        ),
        (
            {
                "rrsets": [
                    {"name": "www", "type": "A", "records": RECORDS},
                    {"name": "www", "type": "CNAME", "records": [{"value": "a"}]},
                    {"name": "www", "type": "A", "records": RECORDS},
                ]
            },
            ["rrsets.1.type", "rrsets.2"],
        ),
        ({"rrsets": [{"name": "@", "type": "NS", "records": [{"value": "ns.example.com."}]}]}, ["rrsets"]),
        ({"zonefile": "www A 192.0.2"}, ["zonefile"]),
        ({"zonefile": "$INCLUDE /etc/passwd"}, ["zonefile"]),
        ({"zonefile": "$GENERATE 1-9 a$ A 192.0.2.$"}, ["zonefile"]),
        ({"zonefile": "elsewhere.org. A 192.0.2.1"}, ["zonefile"]),
        ({"zonefile": "@ NS ns.example.com."}, ["zonefile"]),
    ],
)
async def test_what_cannot_be_is_named_field_by_field(module_api: Api, body: dict[str, Any], fields: list[str]) -> None:
    reply = await module_api.http.post("/zones", json={"name": "wrong.example.com", "mode": "primary", **body})

    assert fields_of(reply) == fields
    assert (await module_api.http.get("/zones/wrong.example.com")).status_code == 404


@pytest.mark.parametrize("path", ["none.example.com", "999999999", "9" * 40, "NONE", "a b", "%00", "@"])
async def test_a_zone_that_is_not_there_is_not_found(module_api: Api, path: str) -> None:
    for suffix in ("", "/rrsets", "/zonefile", "/rrsets/@/SOA", "/actions"):
        reply = await module_api.http.get(f"/zones/{path}{suffix}")
        if (path, suffix) not in (("999999999", "/actions"),):
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found"), suffix
