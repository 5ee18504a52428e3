"""A create with a bug of ours: it holds something, and then its task fails, again and again."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.quota import Quotas
    from infra.domain.models import ServerOrder
    from workflows.saga import run


@workflow.defn(name="ProvisionServer")
class StuckStory:
    @workflow.signal
    def abandon(self) -> None: ...

    @workflow.run
    async def run(self, order: ServerOrder) -> None:
        await run(Quotas.reserve_quota, order)
        await workflow.sleep(0.1)  # what it holds is in its history
        raise RuntimeError("a bug")
