"""Machines: defined, started, destroyed; and given back what their host lost when it went down."""

from __future__ import annotations

from temporalio import activity

from infra.domain.models import Machine
from infra.drivers.protocols import Host, PartsMissing


async def bring_up(host: Host, machine: Machine) -> None:
    """Let a machine run that its host may have lost: disk and seed outlive a host's restart, the rest does not."""
    await host.ports.attach(machine)
    await host.machines.define(machine)
    await host.machines.start(machine.server_id)


class Machines:
    def __init__(self, host: Host) -> None:
        self._host = host

    @activity.defn
    async def define_machine(self, machine: Machine) -> None:
        try:
            await self._host.machines.define(machine)
        except PartsMissing:  # the host went down after the port was attached
            await self._host.ports.attach(machine)
            await self._host.machines.define(machine)

    @activity.defn
    async def start_machine(self, machine: Machine) -> None:
        try:
            await self._host.machines.start(machine.server_id)
        except PartsMissing:  # the host went down after the machine was defined
            await bring_up(self._host, machine)

    @activity.defn
    async def destroy_machine(self, machine: Machine) -> None:
        """Undoes both: a running machine is stopped, a defined one forgotten."""
        await self._host.machines.destroy(machine.server_id)
