"""An edge: addresses and private sides, then HAProxy on them; what is gone from the plan is taken away after that.

The simulated one serves nobody and says that all are well: for where there is no network to change.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.edge_plan import EdgePlan, Health, Served
from infra.domain.errors import Conflict, HostUnavailable
from infra.drivers.edge_addresses import ensure_addresses, remove_link, withdraw_addresses
from infra.drivers.edge_guard import ensure_guard, remove_guard
from infra.drivers.edge_networks import EdgeNetworks
from infra.drivers.haproxy import Haproxy, prepare, require
from infra.drivers.nft import NftError
from infra.drivers.sole import sole
from infra.drivers.threads import run


class Edge(Protocol):
    async def rest(self) -> None:
        """Until it should be changed again: a plan that is fetched after it has all changes that came meanwhile."""

    async def follow(self, plan: EdgePlan) -> Served:
        """Serve the plan. HostUnavailable: not all of it is so yet; again is fine."""

    async def health(self) -> list[Health]:
        """Of every backend. HostUnavailable."""


class HaproxyEdge:
    """``directory``: of HAProxy's configuration and sockets; a short path. ``connections``: as Haproxy's.
    haproxy.CannotRun."""

    def __init__(self, directory: Path, networks: EdgeNetworks, connections: int | None = None) -> None:
        require()
        prepare(directory)
        self._networks = networks
        self._haproxy = Haproxy(directory, networks.namespace, connections)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edge")

    async def rest(self) -> None:
        await asyncio.sleep(await asyncio.to_thread(self._haproxy.rest))

    async def follow(self, plan: EdgePlan) -> Served:
        return await run(self._thread, lambda: self._follow(plan))

    async def health(self) -> list[Health]:
        return await asyncio.to_thread(self._haproxy.health)

    def _follow(self, plan: EdgePlan) -> Served:
        try:
            try:
                ensure_guard()
                ensure_addresses(plan)
                problems = self._networks.ensure(plan)
                served = self._haproxy.serve(plan, problems)
            finally:
                withdraw_addresses(plan)  # what is another edge's must not be announced here, whatever goes wrong
            self._networks.remove_others(plan)
        except (NetlinkError, NftError, OSError) as error:
            raise HostUnavailable("the edge's network could not be prepared") from error
        return served


def clear(networks: EdgeNetworks) -> None:
    """Leave nothing of an edge in the network, but what another edge here serves by. Blocking; HAProxy has ended."""
    networks.remove_others(EdgePlan(0))
    with suppress(Conflict), sole("edge", patience=0):
        remove_link()
        remove_guard()


@dataclass
class SimulatedEdge:
    plan: EdgePlan = field(default_factory=lambda: EdgePlan(0))

    async def rest(self) -> None: ...

    async def follow(self, plan: EdgePlan) -> Served:
        self.plan = plan
        return Served(plan.digest)

    async def health(self) -> list[Health]:
        return [
            Health(balancer.id, service.listen_port, backend.address, backend.by_network, "healthy")
            for balancer in self.plan.balancers
            for service in balancer.services
            for backend in balancer.backends
        ]
