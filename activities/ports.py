"""Ports: what a server has of network on its host, as the books want it at the moment in which it is done.

A step does not carry its plan, it fetches it: steps that come late, twice or out of order all come to what the books
say. One at a time per server, fetch and work together, so that none works from a plan that another has left behind.
Ports and rules come first, whatever the hypervisor or the guest make of NICs.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from temporalio import activity

from infra.domain.errors import HostFailure
from infra.domain.models import Machine
from infra.domain.port_plan import PortPlan
from infra.drivers import protocols
from infra.drivers.threads import KeyedLocks
from infra.internal_api import InternalApi

log = logging.getLogger(__name__)


class Ports:
    """One per host worker: whatever attaches, does it through this."""

    def __init__(self, host: protocols.Host, internal_api: InternalApi) -> None:
        self._host = host
        self._internal_api = internal_api
        self._locks = KeyedLocks[int]()
        self._attached: dict[int, PortPlan] = {}
        """By server: what this process made last."""
        self._unfit: set[int] = set()
        """Servers whose NICs are not those of the plan that was made last."""
        self._told: dict[int, tuple[int, tuple[int, ...]]] = {}
        """By server: the claim's epoch, and the firewalls that the books know to be enforced."""

    @activity.defn
    async def attach_ports(self, machine: Machine) -> None:
        await self.attach(machine)

    @activity.defn
    async def detach_ports(self, machine: Machine) -> None:
        async with self._locks.hold(machine.server_id):
            self._attached.pop(machine.server_id, None)
            self._told.pop(machine.server_id, None)
            self._unfit.discard(machine.server_id)
            await self._host.ports.detach(machine.server_id)

    async def attach(self, machine: Machine, plan: PortPlan | None = None) -> None:
        """The machine's ports and NICs become those of its plan. ``plan``: one that was just fetched. StaleClaim: the
        server is not this host's any more."""
        async with self._locks.hold(machine.server_id):
            if plan is None:
                plan = await self._internal_api.port_plan(machine)
            while not await self._make(plan):
                plan = await self._internal_api.port_plan(machine)
            await self._fit(plan)

    async def define(self, machine: Machine) -> None:
        """With the members that its ports were last attached for, which may be newer than what it came with; nobody
        changes them meanwhile. PartsMissing."""
        async with self._locks.hold(machine.server_id):
            await self._host.machines.define(self._as_attached(machine))

    def outdated(self, plans: Collection[PortPlan], held: Collection[int] = ()) -> set[int]:
        """The servers whose plan is another than was attached last for the same claim, or not all of it was done.
        ``held``: those with ports here; of whom this process knows nothing, a former one left them."""
        made = [(plan, self._attached.get(plan.server_id)) for plan in plans]
        changed = {plan.server_id for plan, last in made if last and last.epoch == plan.epoch and last != plan}
        unknown = {plan.server_id for plan, last in made if last is None and plan.server_id in held}
        return changed | unknown | self._unfit.intersection(plan.server_id for plan in plans)

    def _as_attached(self, machine: Machine) -> Machine:
        plan = self._attached.get(machine.server_id)
        return machine.with_members(plan.members) if plan and plan.epoch == machine.epoch else machine

    async def _make(self, plan: PortPlan) -> bool:
        """The books hear of firewalls once they guard the server. False: they want others by now."""
        server_id = plan.server_id
        await self._host.ports.attach(plan)
        self._attached[server_id] = plan
        # After a restart nobody here knows what the books were told, so they are told again.
        told = plan.epoch, plan.firewalls
        wanted = not plan.firewalls and self._told.get(server_id) == told
        wanted = wanted or await self._internal_api.enforced(plan)
        self._told[server_id] = told
        return wanted

    async def _fit(self, plan: PortPlan) -> None:
        """NICs to the ports. One that is to go has lost its port already, and its guest may keep it for long."""
        server_id = plan.server_id
        self._unfit.add(server_id)
        asked = await self._ask_back(plan)
        await self._host.machines.plug(server_id, plan.members)
        if asked:
            self._unfit.discard(server_id)

    async def _ask_back(self, plan: PortPlan) -> bool:
        """False: that is for another time."""
        try:
            await self._host.machines.unplug(plan.server_id, plan.members)
        except HostFailure as error:
            log.warning("server %s keeps NICs that it is not to have: %s", plan.server_id, error)
            return False
        return True
