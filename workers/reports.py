"""Reports: what a host worker tells the books, and when; and how the host is kept as the books say.

Every half minute the host is compared with the books, put in order, and told as a whole. In between it is told anew
when a step has brought or taken a server, or a look finds a machine that is not what the books say. Where one hand does
not answer, the others are told all the same, and the report names the problem: the books then give the host no server
until a report without one. What the host has to offer is the one thing without which there is no report.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from activities.fence import Fence
from activities.ports import Ports
from infra.domain.errors import HostFailure, PuchifyError
from infra.domain.looks import Looks
from infra.domain.models import Confirmed, Turned
from infra.drivers.protocols import Host
from infra.internal_api import InternalApi
from workers.reconcile import clear_away, follow_plans, held_and_claimed, parts_held, restore

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Reports:
    """One per host worker. Times are seconds. ``every``: placement takes a report for fresh for 90. ``again``: after a
    round that failed. ``pause``: between two reports at least, whatever happens. ``look_every``: between two looks at
    the machines. ``plans_every``: between two comparisons of all ports with the books, beside the steps that change
    them."""

    host_id: int
    host: Host
    internal_api: InternalApi
    fence: Fence
    ports: Ports
    every: float = 30.0
    again: float = 10.0
    pause: float = 2.0
    look_every: float = 5.0
    plans_every: float = 120.0
    looks: Looks = field(default_factory=Looks)
    _claims: list[Confirmed] = field(default_factory=list)
    """As the books had them at the newest round."""
    _down: frozenset[int] = frozenset()
    """Servers that are not brought up yet, or not off."""
    _heard: dict[int, float] = field(default_factory=dict)
    """By server: when its agent was last heard."""
    _turned: dict[int, Turned] = field(default_factory=dict)
    _compared: float = 0.0
    """When the ports last were."""
    _began: float = 0.0
    """What the last report had of turned machines, and when it was begun."""

    async def begin(self) -> None:
        """Make the host as the books say, report, then bring up what should run: only a clean host is given servers,
        also after it was cut off. Nothing is said of machines yet: what should run may be off for want of that."""
        await self._put_in_order()
        facts = await self.host.facts.report(self.host_id)
        await self.internal_api.report(replace(facts, holds=await parts_held(self.host)))
        plans = await self.internal_api.port_plans()
        self._compared = time.monotonic()
        self._down = await restore(self.host, self.internal_api, self.ports, self.fence, self._claims, plans)
        await _surely(partial(follow_plans, self.host, self.ports, self.fence, self._claims, plans))

    async def keep_on(self) -> None:
        """Report, again and again. Nothing that goes wrong here ends it."""
        while True:
            began = time.monotonic()
            due = began + (self.every if await _surely(self.round) else self.again)
            while (left := due - time.monotonic()) > 0:
                if await self._news(min(left, self.look_every)):
                    await _surely(self.tell)

    async def round(self) -> None:
        """The host in order, what is down or has crashed brought up, agents asked; then told as a whole."""
        problems: list[str] = []
        await _unless_it_fails("put in order", self._put_in_order(), problems)
        down = [claim for claim in self._claims if self._is_down(claim)]
        self._down = await restore(self.host, self.internal_api, self.ports, self.fence, down)
        running = [claim.machine.server_id for claim in self._claims if claim.status == "running"]
        heard = await _unless_it_fails("listen to agents", self.host.guests.heard(running), problems)
        now = time.monotonic()
        self._heard = {server_id: now - ago for server_id, ago in (heard or {}).items()}
        await self.tell(problems)
        if now - self._compared >= self.plans_every:
            await _surely(self._compare_ports)

    async def tell(self, problems: list[str] | None = None) -> None:
        """One report. ``problems``: what has been found already."""
        self._began = time.monotonic()
        self.fence.moved.clear()
        report = await self.host.facts.report(self.host_id)
        problems = [*report.problems, *(problems or [])]
        holds = await _unless_it_fails("say what is here", parts_held(self.host), problems)
        states = await _unless_it_fails("say what runs", self.host.machines.states(), problems)
        now = time.monotonic()
        if states is not None:
            self.looks.look(states, {server_id: self.fence.epochs.highest(server_id) for server_id in states}, now)
            self._turned = self._not_as_the_books_say(now)
        await self.internal_api.report(
            replace(
                report,
                holds=holds,
                states=states,
                heard={server_id: now - at for server_id, at in self._heard.items()},
                turned=self._turned if states is not None else {},
                problems=problems,
            )
        )

    async def _put_in_order(self) -> None:
        found = await held_and_claimed(self.host, self.internal_api, self.fence.epochs)
        self._claims = found.claims.claims
        for claim in self._claims:  # a command that was given up before it came here is known from now on
            self.fence.epochs.see(claim.machine.server_id, claim.machine.epoch)
        await clear_away(self.host, found, self.internal_api, self.fence)

    async def _compare_ports(self) -> None:
        plans = await self.internal_api.port_plans()
        await follow_plans(self.host, self.ports, self.fence, self._claims, plans)
        self._compared = time.monotonic()

    def _is_down(self, claim: Confirmed) -> bool:
        server_id = claim.machine.server_id
        seen = self.looks.seen.get(server_id)
        crashed = seen is not None and seen.state == "crashed" and claim.runs and claim.status is not None
        return crashed or server_id in self._down

    async def _news(self, within: float) -> bool:
        """Whether there is something to tell; False after so many seconds without."""
        try:
            async with asyncio.timeout(within):
                await self.fence.moved.wait()
        except TimeoutError:
            return await self._find_turned()
        await asyncio.sleep(max(0.0, self._began + self.pause - time.monotonic()))
        return True

    async def _find_turned(self) -> bool:
        """Look at the machines: whether one is not what the books say, and that was not told yet."""
        try:
            states = await self.host.machines.states()
        except HostFailure as error:  # the next round tells it
            log.debug("the machines cannot be looked at: %s", error)
            return False
        now = time.monotonic()
        self.looks.look(states, {server_id: self.fence.epochs.highest(server_id) for server_id in states}, now)
        return bool(self._not_as_the_books_say(now).items() - self._turned.items())

    def _not_as_the_books_say(self, now: float) -> dict[int, Turned]:
        up = (claim for claim in self._claims if claim.machine.server_id not in self._down)
        return self.looks.turned(up, now)


async def _surely(tell: Callable[[], Awaitable[None]]) -> bool:
    """False: it failed."""
    try:
        await tell()
        return True
    except PuchifyError as error:  # it has said in the log what it is
        log.warning("not done this time: %s", error)
    except Exception:
        log.exception("not done this time")
    return False


async def _unless_it_fails(what: str, work: Awaitable[T], problems: list[str]) -> T | None:
    """None, and one problem more: the host does not do it."""
    try:
        return await work
    except HostFailure as error:
        log.warning("the host does not %s: %s", what, error)
        problems.append(f"the host does not {what}: {error}")
        return None
