"""What Temporal has of the steps of a story that failed: a trial that ends otherwise than it may says why."""

from __future__ import annotations

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

ENDS = ("activity_task_failed_event_attributes", "activity_task_timed_out_event_attributes")


async def failed_steps(client: Client, workflow_id: str) -> list[str]:
    """One line for each, in order: the second of the story's life, the step, and its error with what is behind it."""
    try:
        history = await client.get_workflow_handle(workflow_id).fetch_history()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return ["it never began"]
    began = history.events[0].event_time.ToMilliseconds()
    steps: dict[int, str] = {}
    told = []
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            steps[event.event_id] = event.activity_task_scheduled_event_attributes.activity_type.name
        for end in ENDS:
            if event.HasField(end):
                attributes = getattr(event, end)
                second = (event.event_time.ToMilliseconds() - began) / 1000
                told.append(f"{second:.1f} s {steps[attributes.scheduled_event_id]}: {_causes(event, end)}")
    return told


def _causes(event: HistoryEvent, end: str) -> str:
    failure, messages = getattr(event, end).failure, []
    while True:
        messages.append(failure.message)
        if not failure.HasField("cause"):
            return ", ".join(messages)
        failure = failure.cause
