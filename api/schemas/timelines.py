"""Timelines on the wire: the steps of an action with their times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from api.pagination import Meta
from api.schemas.actions import ActionWire


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
