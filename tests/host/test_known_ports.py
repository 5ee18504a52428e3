"""A host worker that begins anew knows every server with ports here, whatever is being done with it."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import cast

from activities.fence import Fence
from activities.ports import Ports
from infra.domain.models import Confirmed
from infra.drivers.epochs import Epochs
from infra.drivers.ports import HostPorts
from infra.drivers.simulated import SimulatedHost
from infra.internal_api import InternalApi
from tests.host.fix_host import machine_of
from tests.host.told import ToldBooks
from tests.network.seen import everything
from tests.port_plans import member_port, plan_for
from workers.reports import Reports

MACHINE = machine_of(21)


async def test_who_was_in_mid_create_is_guarded_by_the_next_worker(ports: HostPorts, tmp_path: Path) -> None:
    plan = plan_for(MACHINE, member_port(71))
    await ports.attach(plan)
    books = cast(InternalApi, ToldBooks({21: plan}, [Confirmed(MACHINE, runs=False)]))
    successor = HostPorts(ports.network)
    await successor.open()
    with Epochs(tmp_path / "epochs") as epochs, SimulatedHost(tmp_path / "simulated") as simulated:
        host = replace(simulated.host(), ports=successor)
        await Reports(1, host, books, Fence(epochs), Ports(host, books)).begin()
    await asyncio.to_thread(subprocess.run, ("nft", "flush", "ruleset"), check=True)
    assert await successor.guard() == {21}
    assert "out-pn-" in everything()
    await successor.close()
