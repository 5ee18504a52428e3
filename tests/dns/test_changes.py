"""Changes of zones on a real name server: at once, in any number, whole, and never with the serial of another."""

from __future__ import annotations

import asyncio

import pytest

from infra.db import names_due
from infra.dns.serving import Serving
from infra.drivers.powerdns import PowerDns
from tests.dns.acts import done, values, zone_of
from tests.fix_api import Api
from tests.fix_dns import NameServer

FILE = """\
$ORIGIN {zone}.
$TTL 7200
@ IN SOA ns1.puchify.internal. hostmaster.puchify.internal. 7 86400 10800 3600000 3600
@ IN NS ns1.puchify.internal.
@ IN NS ns2.puchify.internal.
@ IN NS ns3.puchify.internal.
mail 300 IN A 192.0.2.25
@ IN MX 10 mail
"""


async def serial(name_server: NameServer, zone: str) -> int:
    (soa,) = await name_server.ask(zone, "SOA")
    return int(soa.split()[2])


async def test_the_serial_rises_with_each_change_and_is_what_the_owner_sees(
    module_api: Api, name_server: NameServer
) -> None:
    zone = await zone_of(module_api, f"serial.{module_api.region.location}.example")
    seen = [await serial(name_server, zone)]
    for n in range(5):
        await done(module_api, f"/zones/{zone}/rrsets", name=f"a{n}", type="A", records=values("192.0.2.1"))
        seen.append(await serial(name_server, zone))
    server = (await module_api.create(f"web.{zone}")).json()
    await module_api.succeeded(server["action"]["id"])
    seen.append(await serial(name_server, zone))

    assert seen == sorted(set(seen))
    soa = (await module_api.listed(f"/zones/{zone}/rrsets/@/SOA"))["rrset"]["records"][0]["value"]
    assert int(soa.split()[2]) == seen[-1]


async def test_what_changes_nothing_leaves_the_serial(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"still.{module_api.region.location}.example")
    before = await serial(name_server, zone)
    serving = Serving(module_api.region.pool, PowerDns(*_access(name_server)))
    await asyncio.gather(*(serving.serve(zone) for _ in range(5)))
    assert await serial(name_server, zone) == before


async def test_an_imported_file_is_answered_in_place_of_all(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"filed.{module_api.region.location}.example")
    await done(module_api, f"/zones/{zone}/rrsets", name="gone", type="A", records=values("192.0.2.1"))
    before = await serial(name_server, zone)
    await done(module_api, f"/zones/{zone}/actions/import_zonefile", zonefile=FILE.format(zone=zone))
    assert await name_server.ask(f"gone.{zone}", "A") == "NXDOMAIN"
    assert await name_server.ask(zone, "MX") == [f"10 mail.{zone}."]
    assert await serial(name_server, zone) > before

    exported = (await module_api.listed(f"/zones/{zone}/zonefile"))["zonefile"]
    again = await zone_of(module_api, f"again.{module_api.region.location}.example")
    await done(module_api, f"/zones/{again}/actions/import_zonefile", zonefile=exported.replace(zone, again))
    assert await name_server.ask(f"mail.{again}", "A") == ["192.0.2.25"]


async def test_twenty_changes_at_once_are_all_answered(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"many.{module_api.region.location}.example")

    async def add(n: int) -> list[str] | str:
        await done(module_api, f"/zones/{zone}/rrsets", name=f"n{n}", type="A", records=values(f"192.0.2.{n}"))
        return await name_server.ask(f"n{n}.{zone}", "A")

    assert await asyncio.gather(*map(add, range(1, 21))) == [[f"192.0.2.{n}"] for n in range(1, 21)]


async def test_who_applies_last_has_read_last(module_api: Api, name_server: NameServer) -> None:
    """Two processes: what one of them reads before a change it never applies after it."""
    zone = await zone_of(module_api, f"race.{module_api.region.location}.example")
    others = [Serving(module_api.region.pool, PowerDns(*_access(name_server))) for _ in range(3)]

    async def disturb(serving: Serving) -> None:
        for _ in range(15):
            await serving.serve(zone)

    async def toggle() -> None:
        for n in range(4):
            path = f"/zones/{zone}/rrsets"
            await done(module_api, path, name="flips", type="A", records=values(f"192.0.2.{n}"))
            assert await name_server.ask(f"flips.{zone}", "A") == [f"192.0.2.{n}"]
            await done(module_api, f"{path}/flips/A", "DELETE")
            assert await name_server.ask(f"flips.{zone}", "A") == "NXDOMAIN"

    await asyncio.gather(toggle(), *map(disturb, others))


async def test_a_name_may_become_an_alias_and_back_in_one_change(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"alias.{module_api.region.location}.example")
    plain = FILE.format(zone=zone)
    alias = plain.replace("mail 300 IN A 192.0.2.25", "mail 300 IN CNAME other.example.net.")
    for file, type, wanted in ((plain, "A", "192.0.2.25"), (alias, "CNAME", "other.example.net.")) * 2:
        await done(module_api, f"/zones/{zone}/actions/import_zonefile", zonefile=file)
        assert await name_server.ask(f"mail.{zone}", type) == [wanted]


async def test_a_large_zone_is_served_in_several_requests(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"large.{module_api.region.location}.example")
    lines = "".join(f"h{n} IN A 192.0.2.{n % 250}\n" for n in range(2_490))
    await done(module_api, f"/zones/{zone}/actions/import_zonefile", zonefile=FILE.format(zone=zone) + lines)
    assert await name_server.ask(f"h2489.{zone}", "A") == [f"192.0.2.{2489 % 250}"]

    await done(module_api, f"/zones/{zone}/rrsets/h7/A", "DELETE")
    assert await name_server.ask(f"h7.{zone}", "A") == "NXDOMAIN"
    assert await name_server.ask(f"h8.{zone}", "A") == ["192.0.2.8"]


async def test_a_note_outlives_who_died_between_the_name_server_and_the_books(
    module_api: Api, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server has it, the books do not know: done again, it comes to the same, under no serial twice."""
    zone = await zone_of(module_api, f"dies.{module_api.region.location}.example")
    path = f"/zones/{zone}/rrsets"
    with monkeypatch.context() as broken:

        async def die(*_: object) -> None:
            raise ConnectionError

        broken.setattr("infra.db.served_names.settle", die)
        broken.setattr("infra.db.names_due.done", die)
        reply = await module_api.http.post(path, json={"name": "x", "type": "A", "records": values("192.0.2.1")})
        while await name_server.ask(f"x.{zone}", "A") == "NXDOMAIN":  # noqa: ASYNC110  it is another's to do
            await asyncio.sleep(0.02)
        between = await serial(name_server, zone)
        async with module_api.region.pool.connection() as connection:
            assert await names_due.due(connection, module_api.region.project_id)
    await module_api.succeeded(reply.json()["action"]["id"])
    await done(module_api, f"{path}/x/A", "DELETE")
    assert await serial(name_server, zone) > between


def _access(name_server: NameServer) -> tuple[str, str]:
    return name_server.settings["dns_api_url"], name_server.settings["dns_api_key"]
