"""Actions on the wire."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from api.documented import shown
from api.pagination import Meta
from api.schemas.times import timestamp, timestamp_or_none
from infra.db.actions import Action
from infra.domain.changes import ResourceType


class ResourceWire(TypedDict):
    id: int
    type: ResourceType


class ActionError(TypedDict):
    code: str
    message: str


@shown(
    id=13,
    command="create_server",
    status="success",
    progress=100,
    started="2026-01-30T23:50:00+00:00",
    finished="2026-01-30T23:50:14+00:00",
    resources=[{"id": 42, "type": "server"}],
    error=None,
)
class ActionWire(TypedDict):
    """``finished`` and ``error`` are null, never empty, while there is none."""

    id: int
    command: str
    status: Literal["running", "success", "error"]
    progress: int
    started: str
    finished: str | None
    resources: list[ResourceWire]
    error: ActionError | None


class ActionAnswer(TypedDict):
    action: ActionWire


class ActionsAnswer(TypedDict):
    """Of a change that takes several actions."""

    actions: list[ActionWire]


class ActionListAnswer(TypedDict):
    actions: list[ActionWire]
    meta: Meta


def action_wire(action: Action) -> ActionWire:
    error: ActionError | None = None
    if action.error_code:
        error = {"code": action.error_code, "message": action.error_message or ""}
    return {
        "id": action.id,
        "command": action.command,
        "status": action.status,
        "progress": action.progress,
        "started": timestamp(action.started),
        "finished": timestamp_or_none(action.finished),
        "resources": [{"id": one["id"], "type": one["type"]} for one in action.resources],
        "error": error,
    }
