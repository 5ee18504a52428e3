"""The schedules: what a region does again and again, kept by Temporal so that it goes on whoever works."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)

from infra.config import Settings
from infra.temporal.names import region_queue, sweep_id
from workflows.sweep_orders import SweepOrders

SWEEP_EVERY = timedelta(seconds=10)


async def ensure_schedules(client: Client, settings: Settings) -> None:
    """Make the location's schedules unless they are there."""
    name = sweep_id(settings.location)
    sweep = Schedule(
        action=ScheduleActionStartWorkflow(
            SweepOrders.run, settings.location, id=name, task_queue=region_queue(settings.location)
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SWEEP_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=SWEEP_EVERY),
    )
    try:
        await client.create_schedule(name, sweep)
    except ScheduleAlreadyRunningError:
        return
