"""The audit of a deployment: what a host cannot get rid of is told until it is gone."""

from __future__ import annotations

import json

import httpx
from prometheus_client.parser import text_string_to_metric_families

from infra.domain.models import Image
from infra.drivers.simulated import Fault
from infra.temporal.names import audit_id
from tests.cli.run import Ended, puchify
from tests.fix_deployment import Deployment
from tests.fix_region import eventually, held
from tests.furnished import DIGEST

STRAY = 999_999_999


async def test_a_stray_that_resists_is_a_leak_until_it_is_gone(deployment: Deployment) -> None:
    region = deployment.region
    running = (await deployment.order("web")).json()["server"]["id"]
    await eventually(lambda: _runs(deployment, running))
    region.host.inject(Fault("disks.remove", error="HostUnavailable", count=None, server_id=STRAY))
    await region.host.host().disks.create(STRAY, Image(1, "tiny", DIGEST, "x86", 1, True), 1)

    await eventually(lambda: _reported(deployment, {running, STRAY}))
    assert _audit(deployment, "--grace", "0").code == 1
    await region.execute("UPDATE host_holdings SET since = since - interval '1 hour' WHERE server_id = %s", STRAY)
    assert f"holds the disk of server {STRAY}, which is gone" in _audit(deployment).out
    await region.client.get_schedule_handle(audit_id(region.location)).trigger()  # the next one is up to a minute away
    await eventually(lambda: _metric(deployment, "puchify_leaks_healed_total", "stray"))
    assert await region.one("SELECT FROM tombstones WHERE server_id = %s", STRAY) is not None

    region.host.clear()
    await eventually(lambda: _reported(deployment, {running}))
    assert held(region.host) == {running}
    assert await region.one("SELECT FROM tombstones WHERE server_id = %s", STRAY) is None
    found = json.loads(_audit(deployment, "--json").out)["findings"]
    assert {one["kind"] for one in found} <= {"names", "names_due"}  # all regions', another test's among them


def _audit(deployment: Deployment, *words: str) -> Ended:
    region = deployment.region
    return puchify(
        *("audit", "--location", region.location, *words),
        state=deployment.directory,
        database_url=region.settings.database_url,
    )


async def _reported(deployment: Deployment, servers: set[int]) -> bool:
    (host_id,) = deployment.region.hosts
    row = await deployment.region.one(
        "SELECT coalesce(array_agg(server_id), '{}') AS held FROM host_holdings WHERE host_id = %s", host_id
    )
    assert row is not None
    return set(row["held"]) == servers


async def _metric(deployment: Deployment, name: str, kind: str) -> float | None:
    """What the newest audit says; None when there was none yet."""
    async with httpx.AsyncClient() as http:
        told = (await http.get(f"{deployment.url}/metrics")).text
    wanted = {"location": deployment.region.location, "kind": kind}
    samples = (sample for family in text_string_to_metric_families(told) for sample in family.samples)
    return next((one.value for one in samples if one.name == name and one.labels == wanted), None)


async def _runs(deployment: Deployment, server_id: int) -> bool:
    found = await deployment.region.one("SELECT status FROM servers WHERE id = %s", server_id)
    return found == {"status": "running"}
