"""The schedules: what a region does again and again, kept by Temporal so that it goes on whoever works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

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
from infra.temporal.names import audit_id, care_id, region_queue, sweep_id
from workflows.audit_region import AuditRegion
from workflows.care_for_images import CareForImages
from workflows.sweep_orders import SweepOrders

Story = Callable[[Any, str], Awaitable[Any]]

SWEEP_EVERY = timedelta(seconds=10)
AUDIT_EVERY = timedelta(seconds=60)
CARE_EVERY = timedelta(seconds=60)
CARE_LIMIT = timedelta(hours=2)
"""It may read all images that there are."""
LIMIT = timedelta(minutes=2)
"""One that hangs must not stop those after it."""


async def ensure_schedules(client: Client, settings: Settings) -> None:
    """Make the location's schedules, as they are here."""
    location = settings.location
    await _ensure(client, sweep_id(location), SweepOrders.run, location, SWEEP_EVERY)
    await _ensure(client, audit_id(location), AuditRegion.run, location, AUDIT_EVERY)
    await _ensure(client, care_id(location), CareForImages.run, location, CARE_EVERY, CARE_LIMIT)


async def _ensure(
    client: Client, name: str, story: Story, location: str, every: timedelta, limit: timedelta = LIMIT
) -> None:
    """``name``: the schedule's and its workflows'."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            story, location, id=name, task_queue=region_queue(location), execution_timeout=limit
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=every),
    )
    try:
        await client.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:  # perhaps made by an earlier version of this very code
        await client.get_schedule_handle(name).update(lambda _: ScheduleUpdate(schedule))
