"""Change a resource: the books say already what it shall be; the world follows, and the action is done.

Nothing is undone here. What cannot be is refused before the books are changed; what is accepted is tried until it is
so, and a later change of the same resource only moves what is converged on.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.changes import Changes
    from activities.ports import Ports
    from infra.domain.changes import Change
    from infra.temporal.names import PHASE
    from workflows.failures import failure_of
    from workflows.options import RETURN_PAUSE
    from workflows.saga import run, surely

MOVES_ADDRESSES = frozenset({"assign_primary_ip", "unassign_primary_ip"})


@workflow.defn
class ChangeResource:
    @workflow.run
    async def run(self, change: Change) -> None:
        await surely(self.carry_out(change))

    async def carry_out(self, change: Change) -> None:
        await run(Changes.follow_change, change)
        if change.command in MOVES_ADDRESSES:
            await self.attach_again(change)
        await run(Changes.finish_change, change)
        workflow.upsert_search_attributes([PHASE.value_set("changed")])

    async def attach_again(self, change: Change) -> None:
        """The server's port follows its addresses; a host that is away is waited for, unless the server goes."""
        while machine := await run(Changes.read_machine, change):
            try:
                await run(Ports.attach_ports, machine)
                break
            except ActivityError as error:
                failure_of(error)  # our own bugs are raised again and wait for a fix
                await workflow.sleep(RETURN_PAUSE, summary="for the host to come back")
