"""/servers/{id}/actions/...: on, off, shut down, rebooted, reset."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer, action_wire
from infra.db import power
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import Locked, NotFound

router = APIRouter(tags=["servers"])

POWER_ACTIONS = {
    "poweron": ("start_server", "Done when the server was started: its guest boots from then on."),
    "poweroff": ("stop_server", "At once, as by a pulled plug: what its guest has not written yet is lost."),
    "shutdown": (
        "shutdown_server",
        "Presses its power button, and is done then: `status` is `off` once its guest obeys. One that does not within"
        " five minutes goes on running.",
    ),
    "reboot": (
        "reboot_server",
        "Its guest is told to shut down, and stopped when it has not within a minute; then it is started again.",
    ),
    "reset": ("reset_server", "Stops it at once and starts it again."),
}
"""By the last word of the path: the action's command, and what it does. A server that is so already is fine."""


def _add(word: str, command: str, says: str) -> None:
    async def act(changing: Changing, id: PathId) -> Response:
        async def make(connection: Connection) -> dict[str, Any]:
            where = await power.order(connection, changing.project_id, id, command)
            action = await changing.begin(
                connection, command, Resource("server", id), location=where, locks_server=True
            )
            return {"action": action_wire(action)}

        return await changing.once(make)

    router.add_api_route(
        f"/servers/{{id}}/actions/{word}",
        act,
        methods=["POST"],
        status_code=201,
        response_model=ActionAnswer,
        responses=failing(NotFound, Locked),
        name=word,
        summary=command.replace("_", " ").capitalize(),
        description=says,
    )


for _word, (_command, _says) in POWER_ACTIONS.items():
    _add(_word, _command, _says)
