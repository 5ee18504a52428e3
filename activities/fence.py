"""The fence: a host obeys only a server's newest claim, and an undo waits for the steps that it undoes.

Each command carries (server, epoch). One of an older epoch than the highest seen is refused, also after a restart: a
host that was paused or cut off may still be handed what its story has long given up. An undo first closes its epoch,
then waits until the host has let go of the server; what it undoes can neither follow nor overtake it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from infra.domain.errors import StaleClaim
from infra.domain.models import Machine
from infra.drivers.epochs import Epochs

UNDO = frozenset({"destroy_machine", "detach_ports", "remove_seed", "remove_disk"})
MOVES = frozenset(
    {"define_machine", "start_machine", "power_on", "power_off", "press_power", "destroy_machine", "remove_disk"}
)
"""Steps after which the host has another machine, or one in another state, or more room."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is being done for a claim; ``done`` is set at its end. ``step``: it may be stopped, an undo may not."""

    epoch: int
    step: asyncio.Task[Any] | None
    done: asyncio.Event


class Fence(Interceptor):
    """One per host worker."""

    def __init__(self, epochs: Epochs) -> None:
        self.epochs = epochs
        self.moved = asyncio.Event()
        """Set when one of MOVES has ended, well or not; who looks at the host clears it."""
        self._working: dict[int, list[Work]] = {}
        """By server."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Fenced(next, self)

    @asynccontextmanager
    async def forward(self, server_id: int, epoch: int) -> AsyncIterator[None]:
        """A step. What an older claim still does ends first. StaleClaim: there is a newer one, or its undo came."""
        self._require(self.epochs.see(server_id, epoch))
        await self._ended(server_id, before=epoch)
        self._require(self.epochs.see(server_id, epoch))  # another may have come while it waited
        async with self._at_work(server_id, epoch, asyncio.current_task()):
            yield

    @asynccontextmanager
    async def undo(self, server_id: int, epoch: int) -> AsyncIterator[None]:
        """An undo. Nothing of the server is at work then, and no step follows. StaleClaim: there is a newer claim."""
        self._require(self.epochs.close(server_id, epoch))
        await self._ended(server_id, before=epoch + 1)
        self._require(self.epochs.close(server_id, epoch))  # another may have come while it waited
        async with self._at_work(server_id, epoch):
            yield

    @asynccontextmanager
    async def purge(self, server_id: int, epoch: int) -> AsyncIterator[bool]:
        """As an undo of everything up to ``epoch``, but False at once, and nothing may be done, when there is a newer
        claim or something is still at work: that is stopped, and next time is soon."""
        may = self.epochs.close(server_id, epoch)
        at_work = self._working.get(server_id, [])
        if not may or at_work:
            for work in at_work if may else ():
                if work.step is not None:
                    work.step.cancel()
            yield False
            return
        async with self._at_work(server_id, epoch):
            yield True

    def _require(self, newest: bool) -> None:
        if not newest:
            raise StaleClaim("the server is not placed on this host any more")

    @asynccontextmanager
    async def _at_work(self, server_id: int, epoch: int, step: asyncio.Task[Any] | None = None) -> AsyncIterator[None]:
        work = Work(epoch, step, asyncio.Event())
        self._working.setdefault(server_id, []).append(work)
        try:
            yield
        finally:
            self._working[server_id].remove(work)
            work.done.set()
            if not self._working[server_id]:
                del self._working[server_id]

    async def _ended(self, server_id: int, before: int) -> None:
        while older := [work for work in self._working.get(server_id, []) if work.epoch < before]:
            await older[0].done.wait()


class _Fenced(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fence: Fence) -> None:
        super().__init__(next)
        self._fence = fence

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        machine: Machine = input.args[0]
        step = input.fn.__name__
        enter = self._fence.undo if step in UNDO else self._fence.forward
        try:
            async with enter(machine.server_id, machine.epoch):
                return await self.next.execute_activity(input)
        finally:
            if step in MOVES:
                self._fence.moved.set()
