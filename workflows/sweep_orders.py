"""Sweep orders: an accepted order whose story never began is begun, and a delete likewise.

It runs on a schedule and does not retry: next time it looks at the world again.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.orders import Orders
    from workflows.saga import run


@workflow.defn
class SweepOrders:
    @workflow.run
    async def run(self, location: str) -> int:
        """The number of stories begun."""
        return await run(Orders.sweep_orders, location)
