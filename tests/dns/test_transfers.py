"""Secondary zones: transferred from a real primary, with a key where one is given, and followed when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from infra.config import Settings
from infra.db.cluster import NAME_SERVER, PostgresCluster
from infra.dns import powerdns_conf
from infra.domain.zones import PrimaryNameserver
from infra.drivers.powerdns import PowerDns
from infra.runtime_dir import RuntimeDir
from tests.dns.acts import done
from tests.fix_api import Api
from tests.fix_dns import KEY, NameServer, free_ports
from tests.fix_region import eventually
from workers.local import engines
from workers.processes import Process, Supervisor

SECRET = "c2VjcmV0IG9mIHR3bw=="
OTHERS = "pdns_of_others"


@pytest_asyncio.fixture(scope="module")
async def primary(
    postgres: PostgresCluster, stack_runtime: RuntimeDir, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[int]:
    """Another operator's PowerDNS, with a database of its own; its port."""
    state, port = tmp_path_factory.mktemp("primary"), free_ports()
    await postgres.ensure_databases({OTHERS: powerdns_conf.DATABASE})
    powerdns_conf.ensure_schema(postgres.url(OTHERS, powerdns_conf.DATABASE))
    user = NAME_SERVER if postgres.user else None
    directory = stack_runtime.directory("primary", user)
    settings = Settings(state=state).model_copy(update={"dns_port": port, "dns_api_key": KEY})
    conf = replace(engines.powerdns_conf_of(settings, postgres, directory), database=OTHERS)
    powerdns_conf.write(conf, user)
    ready = PowerDns(f"http://127.0.0.1:{port + 1}", KEY).answers
    async with Supervisor(state / "pids", print) as supervisor:
        log = Path(state / "primary.log")
        await supervisor.start(Process("primary", powerdns_conf.argv(directory), log, user=user, ready=ready))
        yield port


async def zone_at(primary: int, zone: str, keyed: bool) -> None:
    url = f"http://127.0.0.1:{primary + 1}/api/v1/servers/localhost"
    soa = {"name": f"{zone}.", "type": "SOA", "ttl": 60, "records": [{"content": "ns.x. h.x. 1 1 1 600 60"}]}
    www = {"name": f"www.{zone}.", "type": "A", "ttl": 60, "records": [{"content": "192.0.2.80"}]}
    body = {"name": f"{zone}.", "kind": "Native", "rrsets": [soa, www], "nameservers": ["ns.x."], "soa_edit_api": ""}
    async with httpx.AsyncClient(headers={"X-API-Key": KEY}, trust_env=False) as http:
        if keyed:
            key = {"name": zone, "algorithm": "hmac-sha256", "key": SECRET}
            assert (await http.post(f"{url}/tsigkeys", json=key)).status_code == 201
            body["master_tsig_key_ids"] = [f"{zone}."]
        reply = await http.post(f"{url}/zones", json=body)
        assert reply.status_code == 201, reply.text


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_secondary_zone_answers_what_its_primary_has(
    module_api: Api, name_server: NameServer, primary: int, keyed: bool
) -> None:
    zone = f"{'keyed' if keyed else 'open'}.{module_api.region.location}.example"
    await zone_at(primary, zone, keyed)
    server = {"address": "127.0.0.1", "port": primary}
    if keyed:
        server |= {"tsig_key": SECRET, "tsig_algorithm": "hmac-sha256"}
    body = {"name": zone, "mode": "secondary", "primary_nameservers": [server]}
    reply = await module_api.http.post("/zones", json=body)
    assert reply.status_code == 201, reply.text
    await module_api.succeeded(reply.json()["action"]["id"])

    async def transferred() -> bool:
        return await name_server.ask(f"www.{zone}", "A") == ["192.0.2.80"]

    await eventually(transferred)
    await done(module_api, f"/zones/{zone}", "DELETE")
    assert await name_server.ask(f"www.{zone}", "A") == "REFUSED"


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1"])
async def test_nobody_sends_us_where_only_we_come(module_api: Api, address: str) -> None:
    body = {"name": "inside.example", "mode": "secondary", "primary_nameservers": [{"address": address}]}
    reply = await module_api.http.post("/zones", json=body)

    assert reply.status_code == 422, reply.text
    assert reply.json()["error"]["details"]["fields"][0]["name"] == "primary_nameservers.0.address"


async def test_a_primary_that_stays_is_not_asked_again(module_api: Api, name_server: NameServer) -> None:
    """However its owner writes it, and on the port that PowerDNS leaves out."""
    zone = f"stays.{module_api.region.location}.example"
    server = PowerDns(name_server.settings["dns_api_url"], name_server.settings["dns_api_key"])
    primaries = [
        PrimaryNameserver("192.0.2.1"),
        PrimaryNameserver("2001:DB8:0::1"),
        PrimaryNameserver("2001:db8::2", 54),
    ]
    try:
        assert await server.follow(zone, "stays", primaries, None)
        assert not await server.follow(zone, "stays", primaries, await server.read(zone))
    finally:
        await server.delete(zone)


async def test_a_wrong_key_transfers_nothing(module_api: Api, name_server: NameServer, primary: int) -> None:
    zone = f"wrong.{module_api.region.location}.example"
    await zone_at(primary, zone, keyed=True)
    server = {"address": "127.0.0.1", "port": primary, "tsig_key": "d3Jvbmc=", "tsig_algorithm": "hmac-sha256"}
    body = {"name": zone, "mode": "secondary", "primary_nameservers": [server]}
    reply = await module_api.http.post("/zones", json=body)
    await module_api.succeeded(reply.json()["action"]["id"])
    await asyncio.sleep(0)
    assert await name_server.ask(f"www.{zone}", "A") in ("REFUSED", "SERVFAIL")

    right = {"primary_nameservers": [{**server, "tsig_key": SECRET}]}
    await done(module_api, f"/zones/{zone}/actions/change_primary_nameservers", **right)

    async def transferred() -> bool:
        return await name_server.ask(f"www.{zone}", "A") == ["192.0.2.80"]

    await eventually(transferred)
