"""Actions on the wire."""

from __future__ import annotations

from typing import Any

from api.schemas.times import timestamp, timestamp_or_none
from infra.db.actions import Action


def action_wire(action: Action) -> dict[str, Any]:
    """``finished`` and ``error`` are null, never empty, while there is none."""
    error = {"code": action.error_code, "message": action.error_message or ""} if action.error_code else None
    return {
        "id": action.id,
        "command": action.command,
        "status": action.status,
        "progress": action.progress,
        "started": timestamp(action.started),
        "finished": timestamp_or_none(action.finished),
        "resources": [{"id": action.server_id, "type": "server"}],
        "error": error,
    }
