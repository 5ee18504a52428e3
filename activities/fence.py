"""The fence: on a host, an undo waits for the steps of its server that still work, and nothing works after it.

A step whose time ran out is given up by its story while the host may still be at it. Without a fence the undo would
overtake it, and what it then makes would be nobody's. So the undo first closes the server's epoch, then waits until
the host has let go of the server; a step of a closed epoch is refused. The epochs are remembered while the worker
lives: steps do not outlive it, and an ended step is never handed out again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from infra.domain.errors import StaleClaim
from infra.domain.models import Machine

UNDO = frozenset({"destroy_machine", "detach_ports", "remove_seed", "remove_disk"})


class Fence(Interceptor):
    """One per host worker."""

    def __init__(self) -> None:
        self.closed: dict[int, int] = {}
        """By server: the highest epoch that an undo has closed."""
        self.working: dict[int, set[asyncio.Task[Any]]] = {}

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Fenced(next, self)

    def enter(self, machine: Machine, step: asyncio.Task[Any]) -> None:
        """StaleClaim: an undo came first."""
        if machine.epoch <= self.closed.get(machine.server_id, 0):
            raise StaleClaim("the server is not placed on this host any more")
        self.working.setdefault(machine.server_id, set()).add(step)

    def leave(self, machine: Machine, step: asyncio.Task[Any]) -> None:
        steps = self.working[machine.server_id]
        steps.discard(step)
        if not steps:
            del self.working[machine.server_id]

    async def close(self, machine: Machine) -> None:
        self.closed[machine.server_id] = max(machine.epoch, self.closed.get(machine.server_id, 0))
        while steps := self.working.get(machine.server_id):
            await asyncio.wait(set(steps))


class _Fenced(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fence: Fence) -> None:
        super().__init__(next)
        self._fence = fence

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        (machine,) = input.args
        if input.fn.__name__ in UNDO:
            await self._fence.close(machine)
            return await self.next.execute_activity(input)
        step = asyncio.current_task()
        assert step is not None
        self._fence.enter(machine, step)
        try:
            return await self.next.execute_activity(input)
        finally:
            self._fence.leave(machine, step)
