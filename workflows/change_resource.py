"""Change a resource: the books say already what it shall be; the world follows, and the action is done.

Nothing is undone here. What cannot be is refused before the books are changed; what is accepted is tried until it is
so, and a later change of the same resource only moves what is converged on.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.changes import Changes
    from infra.domain.changes import Change
    from infra.temporal.names import PHASE
    from workflows.saga import run, surely


@workflow.defn
class ChangeResource:
    @workflow.run
    async def run(self, change: Change) -> None:
        await surely(self.carry_out(change))

    async def carry_out(self, change: Change) -> None:
        await run(Changes.follow_change, change)
        await run(Changes.finish_change, change)
        workflow.upsert_search_attributes([PHASE.value_set("changed")])
