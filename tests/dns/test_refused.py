"""A record that the name server refuses although we took it: its own action says so, and nobody else is held up."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db import names_due
from infra.dns.serving import Serving
from infra.drivers.powerdns import PowerDns
from tests.dns.acts import done, values, zone_of
from tests.dns.test_names import addresses, gone, server_of
from tests.fix_api import Api
from tests.fix_dns import NameServer
from tests.fix_region import eventually


@pytest.fixture
def lax(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that does not know what its name server refuses."""
    monkeypatch.setattr("infra.dns.values.unservable", lambda type, rdata: None)


async def refused(api: Api, zone: str, name: str, target: str = "mail_server") -> dict[str, Any]:
    """How the change ends that brings such a record."""
    body = {"name": name, "type": "MX", "records": values(f"10 {target}")}
    reply = await api.http.post(f"/zones/{zone}/rrsets", json=body)
    assert reply.status_code == 201, reply.text
    id = reply.json()["action"]["id"]

    async def ended() -> dict[str, Any] | None:
        action: dict[str, Any] = (await api.http.get(f"/actions/{id}")).json()["action"]
        return action if action["status"] != "running" else None

    action = await eventually(ended)
    assert action is not None
    return action


@pytest.mark.usefixtures("lax")
async def test_its_action_ends_and_names_it(module_api: Api) -> None:
    zone = await zone_of(module_api, f"told.{module_api.region.location}.example")
    action = await refused(module_api, zone, "at")

    assert (action["status"], action["error"]["code"]) == ("error", "record_refused")
    assert f"at.{zone} has of type MX" in action["error"]["message"]
    await done(module_api, f"/zones/{zone}/rrsets/at/MX", "DELETE")


@pytest.mark.usefixtures("lax")
async def test_all_else_of_its_zone_is_served_and_servers_come_and_go(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"rest.{module_api.region.location}.example")
    await refused(module_api, zone, "bad")
    await done(module_api, f"/zones/{zone}/rrsets", name="good", type="A", records=values("192.0.2.1"))
    assert await name_server.ask(f"good.{zone}", "A") == ["192.0.2.1"]

    server = await server_of(module_api, f"web.{zone}")
    assert await name_server.ask(f"web.{zone}", "A") == [addresses(server)[0]]
    await gone(module_api, server)
    assert await name_server.ask(f"web.{zone}", "A") == "NXDOMAIN"


@pytest.mark.usefixtures("lax")
async def test_nothing_is_tried_or_found_wrong_for_ever(module_api: Api, name_server: NameServer) -> None:
    zone = await zone_of(module_api, f"quiet.{module_api.region.location}.example")
    await refused(module_api, zone, "bad")
    pool = module_api.region.pool

    async def noted() -> bool:
        async with pool.connection() as connection:
            return not await names_due.due(connection)

    await eventually(noted)
    settings = name_server.settings
    assert await Serving(pool, PowerDns(settings["dns_api_url"], settings["dns_api_key"])).compare(zone) is None


async def test_a_zone_that_cannot_be_followed_holds_no_other_up(
    module_api: Api, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, and whosever it is."""
    bad = f"bug.{module_api.region.location}.example"
    zone = await zone_of(module_api, f"fine.{module_api.region.location}.example")
    serve = Serving.serve

    async def serve_others(serving: Serving, zone: str, names: Any = None) -> None:
        if zone == bad:
            raise RuntimeError("a bug")
        await serve(serving, zone, names)

    monkeypatch.setattr(Serving, "serve", serve_others)
    for project in (module_api.region.project_id, None):
        note = "INSERT INTO names_due (kind, value, project_id) VALUES ('zone', %s, %s)"
        await module_api.region.execute(note, bad, project)
    await done(module_api, f"/zones/{zone}/rrsets", name="x", type="A", records=values("192.0.2.1"))
    assert await name_server.ask(f"x.{zone}", "A") == ["192.0.2.1"]

    await module_api.region.execute("INSERT INTO names_due (kind, value) VALUES ('zone', %s)", zone)
    others = "SELECT FROM names_due WHERE value <> %s"

    async def followed() -> bool:
        return await module_api.region.one(others, bad) is None

    await eventually(followed)
    assert await module_api.region.one("SELECT FROM names_due WHERE value = %s AND tried IS NOT NULL", bad) is not None
