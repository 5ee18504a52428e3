"""Machines: defined, started, destroyed; and given back what their host lost when it went down."""

from __future__ import annotations

from temporalio import activity

from activities.ports import Ports
from infra.domain.models import Machine
from infra.domain.port_plan import PortPlan
from infra.drivers.protocols import Host, PartsMissing


async def bring_up(host: Host, ports: Ports, machine: Machine, plan: PortPlan | None = None) -> None:
    """Let a machine run that its host may have lost: disk and seed outlive a host's restart, the rest does not.
    ``plan``: of its ports, when it was just fetched."""
    await _lay_out(ports, machine, plan)
    await host.machines.start(machine.server_id)


async def bring_down(host: Host, ports: Ports, machine: Machine, plan: PortPlan | None = None) -> None:
    """Off at once. All that it is made of stays, or is made anew, and it stays known, as if it was never started."""
    await host.machines.destroy(machine.server_id)
    await _lay_out(ports, machine, plan)


async def _lay_out(ports: Ports, machine: Machine, plan: PortPlan | None = None) -> None:
    await ports.attach(machine, plan)
    await ports.define(machine)


class Machines:
    def __init__(self, host: Host, ports: Ports, press: float) -> None:
        """``press``: seconds that a guest has to obey its power button, until whoever has it pressed thinks again."""
        self._host = host
        self._ports = ports
        self._press = press

    @activity.defn
    async def define_machine(self, machine: Machine) -> None:
        try:
            await self._ports.define(machine)
        except PartsMissing:  # the host went down after the ports were attached
            await _lay_out(self._ports, machine)

    @activity.defn
    async def start_machine(self, machine: Machine) -> None:
        try:
            await self._host.machines.start(machine.server_id)
        except PartsMissing:  # the host went down after the machine was defined
            await bring_up(self._host, self._ports, machine)

    @activity.defn
    async def destroy_machine(self, machine: Machine) -> None:
        """Undoes both: a running machine is stopped, a defined one forgotten."""
        await self._host.machines.destroy(machine.server_id)

    @activity.defn
    async def power_on(self, machine: Machine) -> None:
        """Let it run, from the disk and seed that are there; one that runs is left alone."""
        await bring_up(self._host, self._ports, machine)

    @activity.defn
    async def power_off(self, machine: Machine) -> None:
        await bring_down(self._host, self._ports, machine)

    @activity.defn
    async def press_power(self, machine: Machine) -> bool:
        """Press its power button; True once it is off, False when it is not in a moment."""
        off = await self._host.machines.shut_down(machine.server_id, self._press)
        if off and machine.server_id not in await self._host.machines.held():  # its host went down meanwhile
            await _lay_out(self._ports, machine)
        return off
