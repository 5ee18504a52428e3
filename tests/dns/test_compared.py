"""What is answered is compared with the books: what is only about to follow them is not wrong, what does not is."""

from __future__ import annotations

from infra.dns.serving import Serving
from infra.drivers.powerdns import PowerDns
from tests.fix_api import serving_api
from tests.fix_dns import NameServer
from tests.fix_region import NewRegion
from workers.names import names_of


async def test_a_zone_is_not_wrong_while_it_is_about_to_be_followed(
    new_region: NewRegion, name_server: NameServer
) -> None:
    server = PowerDns(name_server.settings["dns_api_url"], name_server.settings["dns_api_key"])
    async with new_region(workers=False) as region, serving_api(region) as api:
        zone = f"compared.{region.location}.example"
        made = await api.http.post("/zones", json={"name": zone, "mode": "primary"})
        assert made.status_code == 201, made.text
        serving = Serving(region.pool, server)
        assert await server.read(zone) is None
        assert await serving.compare(zone) is None

        await names_of(region.settings, region.pool).follow_all(0)
        assert await serving.compare(zone) is None
        await server.delete(zone)
        assert await serving.compare(zone) == "is not served"
        await serving.serve(zone)  # audits are of all zones
