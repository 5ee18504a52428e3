"""The next version of the create: it does something first that the one before did not, so neither replays the other."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.domain.models import FinishedOrder, ServerOrder
    from workflows.provision_server import ProvisionServer


@workflow.defn(name="ProvisionServer")
class NextProvisionServer(ProvisionServer):
    @workflow.run
    async def run(self, order: ServerOrder) -> None:
        await super().run(order)

    async def provision(self, order: ServerOrder) -> FinishedOrder:
        await workflow.sleep(0.01)
        return await super().provision(order)
