"""Ports: what a server has of network on its host, as the books want it at the moment in which it is done.

A step does not carry its plan, it fetches it: steps that come late, twice or out of order all come to what the books
say. One at a time per server, fetch and work together, so that none works from a plan that another has left behind.
"""

from __future__ import annotations

from collections.abc import Collection

from temporalio import activity

from infra.domain.models import Machine
from infra.domain.port_plan import PortPlan
from infra.drivers import protocols
from infra.drivers.threads import KeyedLocks
from infra.internal_api import InternalApi


class Ports:
    """One per host worker: whatever attaches, does it through this."""

    def __init__(self, host: protocols.Host, internal_api: InternalApi) -> None:
        self._host = host
        self._internal_api = internal_api
        self._locks = KeyedLocks[int]()
        self._attached: dict[int, PortPlan] = {}
        """By server: what this process made last."""
        self._told: dict[int, tuple[int, ...]] = {}
        """By server: the firewalls that the books know to be enforced."""

    @activity.defn
    async def attach_ports(self, machine: Machine) -> None:
        await self.attach(machine)

    @activity.defn
    async def detach_ports(self, machine: Machine) -> None:
        async with self._locks.hold(machine.server_id):
            self._attached.pop(machine.server_id, None)
            self._told.pop(machine.server_id, None)
            await self._host.ports.detach(machine.server_id)

    async def attach(self, machine: Machine, plan: PortPlan | None = None) -> Machine:
        """The machine's ports and NICs become those of its plan; the machine with the members that this comes to.
        ``plan``: one that was just fetched. StaleClaim: the server is not this host's any more."""
        async with self._locks.hold(machine.server_id):
            if plan is None:
                plan = await self._internal_api.port_plan(machine)
            while not await self._make(plan):
                plan = await self._internal_api.port_plan(machine)
        return machine.with_members(plan.members)

    def as_attached(self, machine: Machine) -> Machine:
        """With the members that its ports were last attached for, which may be newer than what it came with."""
        plan = self._attached.get(machine.server_id)
        return machine.with_members(plan.members) if plan and plan.epoch == machine.epoch else machine

    def outdated(self, plans: Collection[PortPlan]) -> set[int]:
        """The servers whose plan is another than was attached last for the same claim."""
        made = ((plan, self._attached.get(plan.server_id)) for plan in plans)
        return {plan.server_id for plan, last in made if last and last.epoch == plan.epoch and last != plan}

    async def _make(self, plan: PortPlan) -> bool:
        """NICs go before their taps and come after them; the books hear of firewalls once they guard the server.
        False: they want others by now."""
        server_id = plan.server_id
        await self._host.machines.unplug(server_id, plan.members)
        await self._host.ports.attach(plan)
        await self._host.machines.plug(server_id, plan.members)
        self._attached[server_id] = plan
        # After a restart nobody here knows what the books were told, so they are told again.
        wanted = not plan.firewalls and self._told.get(server_id) == ()
        wanted = wanted or await self._internal_api.enforced(plan)
        self._told[server_id] = plan.firewalls
        return wanted
