"""Change a resource: the books say already what it shall be; the world follows, and the action is done.

Nothing is undone here. What cannot be is refused before the books are changed; what is accepted is tried until it is
so, and a later change of the same resource only moves what is converged on. A change may be about thousands of servers:
it goes from page to page of them, each in a history of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.changes import Changes
    from activities.ports import Ports
    from infra.domain.changes import Affected, Change, Look
    from infra.domain.models import Machine
    from infra.temporal.names import PHASE
    from workflows.failures import failure_of, is_away
    from workflows.options import AT_ONCE, LONGEST_PAUSE, RETURN_PAUSE
    from workflows.saga import Beside, run, surely, tell_edges


@workflow.defn
class ChangeResource:
    @workflow.run
    async def run(self, change: Change, after: int = 0) -> None:
        """``after``: the last server of the pages that are done."""
        on_from = await surely(self.carry_out(change, after))
        if on_from is not None:
            workflow.continue_as_new(args=[change, on_from])
        workflow.upsert_search_attributes([PHASE.value_set("changed")])

    async def carry_out(self, change: Change, after: int) -> int | None:
        """None when all is done; else the server to go on after, in a new history. Names and ports do not wait for each
        other: either may be away for long."""
        async with Beside() as names:
            names.begin(lambda: self.follow_names(change, after))
            affected = await run(Changes.read_affected, Look(change, after))
            if not await self.follow(change, affected):
                return after
            if affected.last is None:
                await tell_edges(affected.edges)
            await names.end()
        if affected.last is not None:
            return affected.last
        await run(Changes.finish_change, change)
        return None

    async def follow_names(self, change: Change, after: int) -> None:
        """With the first page; one that is begun anew for its hosts begins it anew."""
        if not after:
            await run(Changes.follow_change, change)

    async def follow(self, change: Change, page: Affected) -> bool:
        """The servers' ports follow. Hosts that are away are waited for, while their servers are there; False: for so
        long that the history is full."""
        left, pause = await attach_all(page.machines), RETURN_PAUSE
        while left and not workflow.info().is_continue_as_new_suggested():
            await workflow.sleep(pause, summary="for hosts to come back")
            pause = min(2 * pause, LONGEST_PAUSE)
            waiting = tuple(machine.server_id for machine in left)
            left = await attach_all((await run(Changes.read_affected, Look(change, servers=waiting))).machines)
        return not left


async def attach_all(machines: Collection[Machine]) -> list[Machine]:
    """Some at a time, on all hosts; those that are left."""
    gate = asyncio.Semaphore(AT_ONCE)
    of_hosts = groupby(sorted(machines, key=_host), key=_host)
    tasks = [asyncio.create_task(attach_on_a_host(list(some), gate)) for _, some in of_hosts]
    return [machine for task in tasks for machine in await task]


async def attach_on_a_host(machines: Sequence[Machine], gate: asyncio.Semaphore) -> list[Machine]:
    """Those that are left. The first tells whether the host is there at all."""
    first, *others = machines
    if (end := await attach(first, gate)) == "host away":
        return [first, *others]
    ends = [end, *await asyncio.gather(*(attach(machine, gate) for machine in others))]
    return [machine for machine, end in zip(machines, ends, strict=True) if end != "done"]


async def attach(machine: Machine, gate: asyncio.Semaphore) -> Literal["done", "failed", "host away"]:
    async with gate:
        try:
            await run(Ports.attach_ports, machine)
        except ActivityError as error:
            failure_of(error)  # our own bugs are raised again and wait for a fix
            return "host away" if is_away(error) else "failed"
        return "done"


def _host(machine: Machine) -> int:
    return machine.host_id
