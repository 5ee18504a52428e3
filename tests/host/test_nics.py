"""NICs of a guest that obeys nobody: its ports and rules are what the books say all the same, and at once."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

from activities.ports import Ports
from infra.domain.errors import HostUnavailable
from infra.domain.models import Machine
from infra.domain.port_names import tap_name
from infra.drivers.layout import HostLayout
from infra.drivers.loose_ends import LooseEnds
from infra.drivers.machines import LibvirtMachines
from infra.drivers.ports import HostPorts
from infra.drivers.protocols import Host, Machines
from infra.internal_api import InternalApi
from tests.host.fix_host import RealHost, machine_of
from tests.host.told import ToldBooks
from tests.network.seen import everything
from tests.port_plans import member_port, plan_for

MACHINE = machine_of(21, memory_mib=64)
SOON = 8.0
"""Seconds: libvirt would wait 5 for each NIC."""


class Disobedient:
    """Machines that keep their NICs, and say so."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    async def unplug(self, server_id: int, keep: Collection[int]) -> None:
        raise HostUnavailable("it does not obey")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machines, name)


async def run_empty(real: RealHost, host: Host, machine: Machine) -> None:
    """Of a disk with nothing on it: nobody is there to let go of a NIC."""
    files = HostLayout(real.options.root, real.options.run).machine_files(machine)
    for path in (files.disk, files.seed):
        await asyncio.to_thread(path.write_bytes, bytes(2**20))
        path.chmod(0o666)
    await host.machines.define(machine)
    await host.machines.start(machine.server_id)


async def test_a_guest_that_keeps_its_nics_holds_up_nobody(hands: Host, real_host: RealHost) -> None:
    books = ToldBooks({21: plan_for(MACHINE, member_port(71), member_port(72, 5002))})
    ports = Ports(hands, cast(InternalApi, books))
    await ports.attach(MACHINE)
    await run_empty(real_host, hands, MACHINE.with_members((71, 72)))
    for members in ((), (), (73,)):
        books.plans[21] = plan_for(MACHINE, *map(member_port, members), firewalls=(len(members) + 1,))
        began = time.monotonic()
        await ports.attach(MACHINE)
        assert time.monotonic() - began < SOON
        assert books.enforced_by[21] == (len(members) + 1,)
        assert "-5002" not in everything()


async def test_ports_change_although_the_hypervisor_does_not_obey(hands: Host) -> None:
    books = ToldBooks({21: plan_for(MACHINE, member_port(71))})
    host = replace(hands, machines=cast(Machines, Disobedient(hands.machines)))
    ports = Ports(host, cast(InternalApi, books))
    await ports.attach(MACHINE)
    books.plans[21] = plan_for(MACHINE, firewalls=(7,))
    await ports.attach(MACHINE)
    assert books.enforced_by[21] == (7,)
    assert "-5001" not in everything()
    assert ports.outdated(books.plans.values()) == {21}  # for another time


async def test_a_machine_whose_public_port_somebody_deleted_is_told(hands: Host, real_host: RealHost) -> None:
    ports, machines = cast(HostPorts, hands.ports), cast(LibvirtMachines, hands.machines)
    ends, plan = LooseEnds(ports, machines), plan_for(MACHINE)
    await ports.attach(plan)
    await run_empty(real_host, hands, MACHINE)
    told = []
    for damage in ("true", f"ip link del {tap_name(21)}", "true"):
        await asyncio.to_thread(subprocess.run, damage, shell=True, check=True)
        await ports.mend()
        await ends.join()
        told.append([hindrance for hindrance in ends.hindrances() if "server 21 is cut off" in hindrance])
    assert list(map(len, told)) == [0, 1, 1]

    await machines.destroy(21)
    await run_empty(real_host, hands, MACHINE)
    await ports.mend()
    await ends.join()
    assert ends.hindrances() == []
