"""What is answered is compared with the books: what is only about to follow them is not wrong, what does not is."""

from __future__ import annotations

from infra.dns.serving import Serving
from infra.domain.served_names import Answer, Difference
from infra.drivers.powerdns import PowerDns
from tests.fix_api import Api, serving_api
from tests.fix_dns import NameServer
from tests.fix_region import NewRegion, Region
from workers.names import names_of


async def test_what_is_about_to_be_followed_is_not_wrong_and_all_else_is(
    new_region: NewRegion, name_server: NameServer
) -> None:
    server = PowerDns(name_server.settings["dns_api_url"], name_server.settings["dns_api_key"])
    async with new_region(workers=False) as region, serving_api(region) as api:
        zone = f"compared.{region.location}.example"
        names, serving = names_of(region.settings, region.pool), Serving(region.pool, server)
        await _accepted(api, "/zones", name=zone, mode="primary")
        assert await server.read(zone) is None
        assert await serving.compare(zone) is None

        await names.follow_all(0)
        served = await server.read(zone)
        assert served is not None
        assert served.soa is not None
        stray = {(f"stray.{zone}", "A"): Answer(60, frozenset({"192.0.2.9"}))}
        await server.apply(zone, Difference(stray, ()), served.soa)
        await _noted(region, f"other.{zone}")
        assert await serving.compare(zone) == f"should not answer stray.{zone} A"
        await _noted(region, f"stray.{zone}")
        assert await serving.compare(zone) is None

        await names.follow_all(0)
        followed = await server.read(zone)
        assert followed is not None
        assert followed.answers == served.answers


async def test_a_zone_that_was_tried_in_vain_is_wrong(new_region: NewRegion, name_server: NameServer) -> None:
    server = PowerDns(name_server.settings["dns_api_url"], name_server.settings["dns_api_key"])
    async with new_region(workers=False) as region, serving_api(region) as api:
        zone = f"vain.{region.location}.example"
        serving = Serving(region.pool, server)
        await _accepted(api, "/zones", name=zone, mode="primary")
        await region.execute("UPDATE names_due SET tried = now() WHERE project_id = %s", region.project_id)
        assert await serving.compare(zone) == "is not served"
        await names_of(region.settings, region.pool).follow_all(0)


async def _noted(region: Region, name: str) -> None:
    """As when a server of that name comes or goes."""
    await region.execute(
        "INSERT INTO names_due (kind, value, project_id) VALUES ('name', %s, %s)", name, region.project_id
    )


async def _accepted(api: Api, path: str, **body: object) -> None:
    reply = await api.http.post(path, json=body)
    assert reply.status_code == 201, reply.text
