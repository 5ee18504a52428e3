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
    ScheduleUpdate,
)

from infra.config import Settings
from infra.temporal.names import region_queue, sweep_id
from workflows.sweep_orders import SweepOrders

SWEEP_EVERY = timedelta(seconds=10)
SWEEP_LIMIT = timedelta(minutes=2)


async def ensure_schedules(client: Client, settings: Settings) -> None:
    """Make the location's schedules, as they are here."""
    name = sweep_id(settings.location)
    sweep = Schedule(
        action=ScheduleActionStartWorkflow(
            SweepOrders.run,
            settings.location,
            id=name,
            task_queue=region_queue(settings.location),
            execution_timeout=SWEEP_LIMIT,  # one that hangs must not stop those after it
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SWEEP_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=SWEEP_EVERY),
    )
    try:
        await client.create_schedule(name, sweep)
    except ScheduleAlreadyRunningError:  # perhaps made by an earlier version of this very code
        await client.get_schedule_handle(name).update(lambda _: ScheduleUpdate(sweep))
