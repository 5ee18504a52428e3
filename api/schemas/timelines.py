"""Timelines on the wire: the steps of an action with their times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from api.documented import shown
from api.pagination import Meta
from api.schemas.actions import ActionWire


@shown(
    name="create_disk",
    state="done",
    started="2026-01-30T23:50:00.100000+00:00",
    finished="2026-01-30T23:50:00.350000+00:00",
    duration_ms=250.0,
    worked_ms=240.5,
    tries=1,
)
class StepWire(TypedDict):
    """``duration_ms``: from its first scheduling to its end, waiting and all ``tries`` included; ``worked_ms``: its
    last try alone. Null while it is under way. ``worked_ms`` is null, too, for what was never begun."""

    name: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    started: str
    finished: str | None
    duration_ms: float | None
    worked_ms: float | None
    tries: int


class TimelineAnswer(TypedDict):
    timeline: list[StepWire]


class ActionTimeline(TypedDict):
    action: ActionWire
    steps: list[StepWire]


class ServerTimelineAnswer(TypedDict):
    """In the order of the actions."""

    timeline: list[ActionTimeline]
    meta: Meta


def step_wire(step: Mapping[str, Any]) -> StepWire:
    """From a step as it is stored."""
    return {
        "name": step["name"],
        "state": step["state"],
        "started": step["started"],
        "finished": step["finished"],
        "duration_ms": step["duration_ms"],
        "worked_ms": step["worked_ms"],
        "tries": step["tries"],
    }
