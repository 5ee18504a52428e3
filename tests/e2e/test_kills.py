"""kill -9 of whoever works on a create, at a random moment: after its restart the create ends as it should, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from tests.fix_deployment import ROLES, Deployment
from tests.fix_region import eventually


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("victim", [*ROLES, "temporal"])
async def test_a_create_survives_a_kill(deployment: Deployment, stack_state: Path, victim: str, seed: int) -> None:
    region, moment = deployment.region, random.Random(f"{victim}-{seed}").uniform(0, 0.8)
    ordering = asyncio.create_task(deployment.order("survivor"))
    await asyncio.sleep(moment)  # the moment is what is tested: anything may be under way

    if victim == "temporal":
        os.kill(int((stack_state / "pids" / "temporal.pid").read_text().split()[0]), signal.SIGKILL)
    else:
        deployment.kill(victim)

    reply = await ordering
    assert reply.status_code == 201, reply.text
    server_id = reply.json()["server"]["id"]
    await eventually(lambda: _status(deployment, server_id, "running"))
    counted = await region.one("SELECT count(*) AS n FROM servers WHERE project_id = %s", region.project_id)
    assert counted == {"n": 1}
    inventory = region.host.inventory()
    assert inventory.disks == inventory.seeds == inventory.ports == {server_id}
    assert inventory.machines == {server_id: True}
    await region.assert_balanced()


async def _status(deployment: Deployment, server_id: int, status: str) -> bool:
    found = await deployment.region.one("SELECT status FROM servers WHERE id = %s", server_id)
    return found == {"status": status}
