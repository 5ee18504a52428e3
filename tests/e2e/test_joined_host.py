"""A machine joins a region that runs: the line, the worker with the file that it wrote, and a server on it."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

from infra.db import ledger
from infra.drivers.simulated import SimulatedHost
from tests.cli.run import Ended, puchify
from tests.fix_deployment import ROOT, Deployment
from tests.fix_region import eventually
from workers.processes import Process


async def test_a_joined_host_reports_and_is_given_a_server(stopped_deployment: Deployment, tmp_path: Path) -> None:
    deployment, machine = stopped_deployment, tmp_path / "machine"
    region, (old,) = deployment.region, deployment.region.hosts
    await deployment.start("api", "region")
    name = f"{region.location}-joined"

    joined = await operator(deployment, "join", "--location", region.location, "--name", name, "--url", deployment.url)
    enrolled = await asyncio.to_thread(puchify, *shlex.split(joined.out)[1:], state=machine, host="simulated")
    assert enrolled.code == 0, enrolled
    start = enrolled.out.splitlines()[-1].partition("(")[2].removesuffix(")")
    await deployment.supervisor.start(worker(deployment, start))
    await eventually(lambda: region.one("SELECT id FROM hosts WHERE name = %s AND reported IS NOT NULL", name))
    await operator(deployment, "cordon", str(old))

    reply = await deployment.order("web")
    server_id = reply.json()["server"]["id"]
    host = await eventually(lambda: runs_on(deployment, server_id))

    assert host == {"name": name}
    with SimulatedHost(machine / "host" / "simulated.sqlite") as hands:
        assert hands.inventory().machines == {server_id: True}
    shown = await operator(deployment, "show", name)
    assert f"\n  {server_id}  web  running" in shown.out
    async with region.pool.connection() as connection:
        assert await ledger.imbalances(connection) == []


def worker(deployment: Deployment, line: str) -> Process:
    """As the operator was told to start it: with the file's settings, and nothing of the region's own."""
    line = line.replace("puchify worker", f"{sys.executable} -m workers.cli worker")
    log = deployment.directory / "joined.log"
    return Process(name="joined", argv=("sh", "-c", line), log_path=log, env={"PYTHONPATH": str(ROOT)})


async def operator(deployment: Deployment, *words: str) -> Ended:
    settings = deployment.region.settings
    ended = await asyncio.to_thread(puchify, "host", *words, state=settings.state, database_url=settings.database_url)
    assert ended.code == 0, ended
    return ended


async def runs_on(deployment: Deployment, server_id: int) -> dict[str, str] | None:
    return await deployment.region.one(
        "SELECT h.name FROM servers s JOIN claims c ON c.server_id = s.id JOIN hosts h ON h.id = c.host_id"
        " WHERE s.id = %s AND s.status = 'running'",
        server_id,
    )
