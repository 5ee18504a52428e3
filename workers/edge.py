"""The edge worker: one to an edge node. It serves what the books say, and tells them how it does.

Every two seconds it says that it lives and how the targets do, and is told in return whether its plan is still the one
that it serves. So it comes to what the books say by itself as well: at its start, after it was cut off, and whatever
order was lost. HAProxy goes on when the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.load_balancers import Edges
from infra.beside import beside
from infra.config import Settings
from infra.domain.edge_plan import Health
from infra.domain.errors import HostFailure, PuchifyError
from infra.drivers.sole import sole
from infra.edge_api import EdgeApi, open_edge_api
from infra.temporal.connect import connect
from infra.temporal.names import edge_queue
from workers.wiring import edge_is_simulated, open_edge

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two reports."""
SECOND_LOOK = 1.0
"""Seconds after a change: by then FRR has done what it may do to entries of private networks (EVPN)."""
LOOK_EVERY = 60.0
"""Seconds after which the edge itself is looked at again, whether it still is what it was made."""
PAUSE = 5.0
"""Seconds until a change that failed is tried again."""
DEAD = 10.0
"""After so many seconds without HAProxy the edge says nothing any more, so that another takes over what it has."""


def edge_worker(client: Client, edges: Edges, edge_id: int) -> Worker:
    return Worker(
        client,
        task_queue=edge_queue(edge_id),
        activities=[edges.follow_plan],
        max_concurrent_activities=100,  # all but one of them wait
        graceful_shutdown_timeout=timedelta(seconds=5),
    )


@dataclass
class Reporting:
    """``every``: seconds between two reports. A change of the edge takes as long as it takes, beside them."""

    edges: Edges
    api: EdgeApi
    every: float = EVERY
    _ask: asyncio.Event = field(default_factory=asyncio.Event)
    """The plan is to be followed."""
    _follows: bool = False
    _seen: str = ""
    """The digest of what was served at the last look."""
    _due: float = 0.0
    """When the edge is looked at again."""
    _not_before: float = 0.0
    """After a try that failed: HAProxy is not made to begin again and again."""
    _well: float = field(default_factory=time.monotonic)
    """When HAProxy last answered."""

    async def keep_on(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._again_and_again(self.report, self.every))
            both.create_task(self._again_and_again(self._follow_when_asked, 0))

    async def _again_and_again(self, step: Callable[[], Awaitable[None]], pause: float) -> None:
        """Nothing that goes wrong in there ends it."""
        while True:
            try:
                await step()
            except PuchifyError as error:
                log.warning("the edge does not follow its plan: %s", error)
            except Exception:
                log.exception("the edge does not follow its plan")
            await asyncio.sleep(pause)

    async def _follow_when_asked(self) -> None:
        await self._ask.wait()
        self._follows, self._not_before = True, time.monotonic() + PAUSE
        try:
            await self.edges.follow()
            self._not_before = 0.0
        finally:
            self._follows = False
            self._ask.clear()
        if not self._is_dead:
            await self.api.report(self.edges.served)

    async def report(self) -> None:
        """First of all that it lives. Without HAProxy it says nothing, and comes to what it is told then."""
        health = await self._health()
        if self._is_dead:
            self._ask.set()
            return
        wanted = await self.api.report(self.edges.served)
        if self._is_due(wanted):
            self._ask.set()
        if health is not None:
            await self.api.tell_health(health)

    @property
    def _is_dead(self) -> bool:
        return time.monotonic() - self._well > DEAD

    def _is_due(self, wanted: str) -> bool:
        now, served = time.monotonic(), self.edges.served.digest
        if self._follows or now < (self._due if wanted == served == self._seen else self._not_before):
            return False
        self._due = now + (LOOK_EVERY if wanted == served == self._seen else SECOND_LOOK)
        self._seen = wanted
        return True

    async def _health(self) -> Sequence[Health] | None:
        """None: nobody knows at the moment."""
        try:
            health = await self.edges.health()
        except HostFailure as error:
            log.warning("the health of targets is not known: %s", error)
            return None
        self._well = time.monotonic()
        return health


async def run_edge(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop``. CannotRun. Conflict: another edge is on this machine."""
    alone = nullcontext() if edge_is_simulated(settings) else sole("edge")
    with alone:
        await _serve(settings, stop)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    async with open_edge_api(settings) as api:
        edges = Edges(open_edge(settings), api)
        client = await connect(settings)
        async with beside(Reporting(edges, api).keep_on()), edge_worker(client, edges, settings.edge_id):
            await stop.wait()
