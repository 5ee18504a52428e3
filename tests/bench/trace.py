"""One create's times, read off its history: Puchify's and the floor's by the same rule, because their steps have the
same names.

A row's time is its wall time in the story, from its first step's scheduling to its last step's end, waiting included;
``in_hand`` is how long its steps were in their workers' hands, from handing out to answer. A local step's time is the
SDK's own, from its marker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from infra.temporal.timeline import Step, steps_of

STEPS_OF: Mapping[str, tuple[str, ...]] = {
    "quota": ("reserve_quota",),
    "schedule": ("place_server",),
    "addresses": ("assign_addresses",),
    "network": ("attach_ports",),
    "image": ("ensure_image", "create_disk", "write_seed"),
    "boot": ("define_machine", "start_machine"),
    "health": ("wait_ready",),
}
"""The rows of the pipeline that are steps of the story. ``network`` is what happens beside the image, ``addresses``
what happens before both."""


AFTER_GUEST = "health after the guest"
"""What is left of ``health`` once the guest's SSH is seen to answer: it is awaited, asked, and told to the story."""


@dataclass(frozen=True, slots=True)
class Run:
    """One create that was asked for. ``sent``: when, by the machine's clock, which Temporal's events share."""

    server_id: int
    workflow_id: str
    sent: datetime
    answered: float
    """Milliseconds from the request to its answer."""
    seen: datetime | None = None
    """When the guest's SSH was first seen to answer; None where there is no guest."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Milliseconds by row. ``shape``: how often what happened in the story."""

    rows: dict[str, float]
    in_hand: dict[str, float]
    shape: Counter[str]


async def trace_of(client: Client, run: Run) -> Trace:
    history = await client.get_workflow_handle(run.workflow_id).fetch_history()
    steps = {step.name: step for step in steps_of(history.events)}
    ended = history.events[-1].event_time.ToDatetime(tzinfo=UTC)
    started = steps["start_machine"].began
    assert started is not None, "a create that ended has started its machine"
    rows = {"answer": run.answered, "boot command": _ms(run.sent, started), "running": _ms(run.sent, ended)}
    rows |= {row: _wall([steps[name] for name in names]) for row, names in STEPS_OF.items()}
    if run.seen is not None:
        rows[AFTER_GUEST] = max(0.0, _ms(run.seen, _end(steps["wait_ready"])))
    in_hand = {row: sum(_in_hand(steps[name]) for name in names) for row, names in STEPS_OF.items()}
    return Trace(rows, in_hand, shape_of(history.events))


def shape_of(events: Iterable[HistoryEvent]) -> Counter[str]:
    """Workflow tasks are left out: how many there are depends on which steps happen to end together."""
    names = ((EventType.Name(event.event_type).removeprefix("EVENT_TYPE_"), event) for event in events)
    return Counter(f"{name} {_activity(event)}".strip() for name, event in names if "WORKFLOW_TASK" not in name)


def _activity(event: HistoryEvent) -> str:
    return event.activity_task_scheduled_event_attributes.activity_type.name


def _wall(steps: list[Step]) -> float:
    return _ms(min(step.scheduled for step in steps), max(_end(step) for step in steps))


def _in_hand(step: Step) -> float:
    assert step.began is not None
    return _ms(step.began, _end(step))


def _end(step: Step) -> datetime:
    assert step.ended is not None, "a create that ended has ended its steps"
    return step.ended


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000
