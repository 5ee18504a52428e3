"""Machines: defined, started, destroyed."""

from __future__ import annotations

from temporalio import activity

from infra.domain.models import Machine
from infra.drivers import protocols


async def bring_up(host: protocols.Host, machine: Machine) -> None:
    """Give a server back what its host lost when it went down; its disk and its seed were there all the time."""
    await host.ports.attach(machine)
    await host.machines.define(machine)
    await host.machines.start(machine.server_id)


class Machines:
    def __init__(self, machines: protocols.Machines) -> None:
        self._machines = machines

    @activity.defn
    async def define_machine(self, machine: Machine) -> None:
        await self._machines.define(machine)

    @activity.defn
    async def start_machine(self, machine: Machine) -> None:
        await self._machines.start(machine.server_id)

    @activity.defn
    async def destroy_machine(self, machine: Machine) -> None:
        """Undoes both: a running machine is stopped, a defined one forgotten."""
        await self._machines.destroy(machine.server_id)
