"""A timeline: the steps of an operation with their times and tries, read from its history.

The history is the one record that cannot disagree with what happened, so nothing is kept beside it. A step's time runs
from its first scheduling to its end, waiting and retries included; ``worked_ms`` is its last try alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionDescription

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds for one timeline; it takes ten milliseconds."""


@dataclass(slots=True)
class Step:
    """One step so far. ``state``: waiting, running, done, failed or cancelled."""

    name: str
    state: str
    scheduled: datetime
    began: datetime | None = None
    ended: datetime | None = None
    tries: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "started": self.scheduled.isoformat(),
            "finished": self.ended.isoformat() if self.ended else None,
            "duration_ms": _ms(self.scheduled, self.ended),
            "worked_ms": _ms(self.began, self.ended),
            "tries": self.tries,
        }


class Timelines:
    """Timelines by workflow id. One that cannot be had is empty: it is told for the eye and nothing waits for it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(self, workflow_id: str) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await timeline_of(self._client, workflow_id)
        except Exception:  # whatever it is, the end of an operation does not hang on its picture
            log.exception("no timeline of %s", workflow_id)
            return []


async def timeline_of(client: Client, workflow_id: str) -> list[dict[str, Any]]:
    """The steps in the order of their scheduling. RPCError: no such workflow, or Temporal is away."""
    handle = client.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    steps = steps_of(history.events)
    if any(step.ended is None for step in steps):
        _add_pending(steps, await handle.describe())
    return [step.as_json() for step in steps]


def steps_of(events: Iterable[HistoryEvent]) -> list[Step]:
    """Pure: what the events tell. A step under way has no end; its tries are known to Temporal only when it ends."""
    steps: dict[int, Step] = {}
    local_since = datetime.min.replace(tzinfo=UTC)
    for event in events:
        kind = event.event_type
        if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            steps[event.event_id] = Step(name, "waiting", _at(event.event_time))
        elif kind == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            started = event.activity_task_started_event_attributes
            step = steps[started.scheduled_event_id]
            step.state, step.began, step.tries = "running", _at(event.event_time), started.attempt
        elif kind == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            local_since = _at(event.event_time)
        elif kind == EventType.EVENT_TYPE_MARKER_RECORDED:
            if local := _local(event, local_since):
                steps[event.event_id] = local
                local_since = local.ended or local_since
        elif (ended := _ended(event)) is not None:
            scheduled_id, state = ended
            steps[scheduled_id].state, steps[scheduled_id].ended = state, _at(event.event_time)
    return sorted(steps.values(), key=lambda step: step.scheduled)


def _ended(event: HistoryEvent) -> tuple[int, str] | None:
    kind = event.event_type
    if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return event.activity_task_completed_event_attributes.scheduled_event_id, "done"
    if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
        return event.activity_task_failed_event_attributes.scheduled_event_id, "failed"
    if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        return event.activity_task_timed_out_event_attributes.scheduled_event_id, "failed"
    if kind == EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        return event.activity_task_canceled_event_attributes.scheduled_event_id, "cancelled"
    return None


def _local(event: HistoryEvent, since: datetime) -> Step | None:
    """A step that ran inside the workflow task. The SDK's marker tells its end; it began with the task, or with the end
    of the local step before it, because local steps run one after the other."""
    marker = event.marker_recorded_event_attributes
    data = marker.details.get("data")
    if marker.marker_name != "core_local_activity" or data is None or not data.payloads:
        return None
    told: Mapping[str, Any] = json.loads(data.payloads[0].data)
    end = told.get("complete_time") or {}
    ended = max(since, _at(Timestamp(seconds=end.get("seconds", 0), nanos=end.get("nanos", 0))))
    state = "failed" if marker.HasField("failure") else "done"
    return Step(told["activity_type"], state, since, since, ended, int(told.get("attempt", 1)))


def _add_pending(steps: list[Step], description: WorkflowExecutionDescription) -> None:
    """What the history does not tell of a step under way: that it runs, and which try it is."""
    for pending in description.raw_description.pending_activities:
        for step in steps:
            if step.ended is None and step.name == pending.activity_type.name:
                step.tries = pending.attempt
                if pending.HasField("last_started_time"):
                    step.state, step.began = "running", _at(pending.last_started_time)


def _at(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)


def _ms(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds() * 1000, 1) if start and end else None
