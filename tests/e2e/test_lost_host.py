"""A host that is gone for good: it goes with its servers, and should its worker come back, it is told so, quietly."""

from __future__ import annotations

import asyncio

from infra.db import hosts, keys, ledger
from infra.db.hosts import NewHost
from tests.cli.run import Ended, puchify
from tests.fix_deployment import Deployment
from tests.fix_region import eventually, host_key


async def test_a_lost_host_is_removed_with_its_servers_and_may_come_anew(deployment: Deployment) -> None:
    region, (host_id,) = deployment.region, deployment.region.hosts
    reply = await deployment.order("web")
    server_id = reply.json()["server"]["id"]
    await eventually(lambda: status_of(deployment, server_id, "running"))
    await deployment.supervisor.stop("host")

    told = await removed(deployment, host_id)

    assert (told.code, told.err) == (0, ""), told
    assert await region.one("SELECT FROM servers WHERE id = %s", server_id) is None
    assert await region.one("SELECT FROM hosts WHERE id = %s", host_id) is None
    async with region.pool.connection() as connection:
        assert await ledger.imbalances(connection) == []

    await register(deployment, host_id)
    await deployment.start("host")  # what it still has of the old server is nobody's
    await eventually(lambda: clean(deployment))
    again = await deployment.order("again")
    await eventually(lambda: status_of(deployment, again.json()["server"]["id"], "running"))
    await region.assert_balanced()


async def test_a_worker_of_a_removed_host_says_so_in_a_line(deployment: Deployment) -> None:
    (host_id,) = deployment.region.hosts
    log = deployment.directory / "host.log"

    told = await removed(deployment, host_id)
    assert told.code == 0, told
    await eventually(lambda: says(deployment, "it was removed from the books"))
    deployment.kill("host")  # one that starts is refused, too
    await eventually(lambda: says(deployment, "puchify: the host is not in service"))

    assert "Traceback" not in log.read_text()


async def removed(deployment: Deployment, host_id: int) -> Ended:
    settings = deployment.region.settings
    words = ("host", "remove", str(host_id), "--lost", "--yes")
    return await asyncio.to_thread(puchify, *words, state=settings.state, database_url=settings.database_url)


async def register(deployment: Deployment, host_id: int) -> None:
    region = deployment.region
    digest = keys.digest_of(keys.server_secret(region.settings), host_key(region, host_id))
    async with region.pool.connection() as connection:
        await hosts.register_host(connection, NewHost(host_id, f"{region.location}-anew", region.location_id, digest))


async def status_of(deployment: Deployment, server_id: int, status: str) -> bool:
    found = await deployment.region.one("SELECT status FROM servers WHERE id = %s", server_id)
    return found == {"status": status}


async def clean(deployment: Deployment) -> bool:
    return deployment.region.host.inventory().is_empty


async def says(deployment: Deployment, words: str) -> bool:
    return words in (deployment.directory / "host.log").read_text()
