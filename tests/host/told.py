"""The books as a host's ports hear of them: what a test says, over no wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.domain.models import Confirmed, HostClaims, HostReport, Machine
from infra.domain.port_plan import PortPlan


@dataclass
class ToldBooks:
    """In the place of the internal API. ``enforced_by``: the firewalls that the host has said to be in force."""

    plans: dict[int, PortPlan] = field(default_factory=dict)
    claimed: list[Confirmed] = field(default_factory=list)
    enforced_by: dict[int, tuple[int, ...]] = field(default_factory=dict)

    async def port_plan(self, machine: Machine) -> PortPlan:
        return self.plans[machine.server_id]

    async def port_plans(self) -> list[PortPlan]:
        return list(self.plans.values())

    async def enforced(self, plan: PortPlan) -> bool:
        self.enforced_by[plan.server_id] = plan.firewalls
        return True

    async def claims(self) -> HostClaims:
        return HostClaims(self.claimed, [])

    async def report(self, report: HostReport) -> Any:
        return None
