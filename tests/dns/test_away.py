"""Name servers that are away: whoever needs them waits, and is right afterwards; whoever does not is not held up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from activities.audits import Audits
from infra.db.cluster import PostgresCluster
from infra.domain.models import AuditRequest
from infra.domain.reverse_zones import ptr_name
from infra.domain.served_names import Answer, Difference
from infra.drivers.powerdns import PowerDns
from infra.runtime_dir import RuntimeDir
from infra.temporal.cluster import TemporalCluster
from tests.dns.acts import done, values, zone_of
from tests.fix_api import Api, serving_api
from tests.fix_dns import MortalNameServer, start_mortal
from tests.fix_region import eventually, open_region, region_settings
from workers.names import names_of
from workers.processes import Supervisor


@pytest_asyncio.fixture
async def mortal(
    postgres: PostgresCluster, stack_runtime: RuntimeDir, tmp_path: Path
) -> AsyncIterator[MortalNameServer]:
    async with Supervisor(tmp_path / "pids", print) as supervisor:
        yield await start_mortal(supervisor, postgres, stack_runtime, tmp_path)


@pytest_asyncio.fixture
async def api(books: str, temporal: TemporalCluster, mortal: MortalNameServer, tmp_path: Path) -> AsyncIterator[Api]:
    settings = region_settings(books, temporal, tmp_path, mortal.server)
    async with open_region(settings, tmp_path) as region, serving_api(region) as api:
        yield api


async def test_who_needs_them_waits_and_is_right_afterwards(api: Api, mortal: MortalNameServer) -> None:
    zone = await zone_of(api, f"away.{api.region.location}.example")
    await mortal.stop()
    changed = await api.http.post(
        f"/zones/{zone}/rrsets", json={"name": "x", "type": "A", "records": values("192.0.2.1")}
    )
    named, plain = await api.create(f"web.{zone}"), await api.create("plain")
    await api.succeeded(plain.json()["action"]["id"])
    for reply in (changed, named):
        action = (await api.http.get(f"/actions/{reply.json()['action']['id']}")).json()["action"]
        assert action["status"] == "running"

    await mortal.start()
    for reply in (changed, named):
        await api.succeeded(reply.json()["action"]["id"])
    net = named.json()["server"]["public_net"]
    assert await mortal.server.ask(f"x.{zone}", "A") == ["192.0.2.1"]
    assert await mortal.server.ask(f"web.{zone}", "A") == [net["ipv4"]["ip"]]
    plain_net = plain.json()["server"]["public_net"]["ipv4"]

    async def named_by_default() -> bool:
        return await mortal.server.ask(ptr_name(plain_net["ip"]), "PTR") == [f"{plain_net['dns_ptr']}."]

    await eventually(named_by_default)


async def test_a_delete_waits_until_nobody_is_led_to_the_server(api: Api, mortal: MortalNameServer) -> None:
    zone = await zone_of(api, f"leaves.{api.region.location}.example")
    made = [(await api.create(name)).json() for name in (f"web.{zone}", "plain")]
    for one in made:
        await api.succeeded(one["action"]["id"])
    await mortal.stop()
    named, plain = [(await api.http.delete(f"/servers/{one['server']['id']}")).json()["action"]["id"] for one in made]
    await api.succeeded(plain)
    assert (await api.http.get(f"/actions/{named}")).json()["action"]["status"] == "running"

    await mortal.start()
    await api.succeeded(named)
    assert await mortal.server.ask(f"web.{zone}", "A") == "NXDOMAIN"


async def test_an_audit_finds_and_heals_what_is_answered_wrongly(api: Api, mortal: MortalNameServer) -> None:
    zone = await zone_of(api, f"audit.{api.region.location}.example")
    await done(api, f"/zones/{zone}/rrsets", name="lost", type="A", records=values("192.0.2.1"))
    server = PowerDns(mortal.server.settings["dns_api_url"], mortal.server.settings["dns_api_key"])
    served = await server.read(zone)
    assert served is not None
    assert served.soa is not None
    stray = {(f"stray.{zone}", "A"): Answer(60, frozenset({"192.0.2.9"}))}
    await server.apply(zone, Difference(stray, ((f"lost.{zone}", "A"),)), served.soa)

    audits = Audits(api.region.pool, 0, names_of(api.region.settings, api.region.pool))
    found = await eventually(lambda: _leaks(audits, api))
    assert found == {"names": 1}

    async def right() -> bool:
        gone = await mortal.server.ask(f"stray.{zone}", "A") == "NXDOMAIN"
        return gone and await mortal.server.ask(f"lost.{zone}", "A") == ["192.0.2.1"]

    await eventually(right)


async def _leaks(audits: Audits, api: Api) -> dict[str, int]:
    audited = await audits.audit_region(AuditRequest(api.region.location, 900, 900))
    return {kind: count for kind, count in audited.leaks.items() if kind == "names"}
