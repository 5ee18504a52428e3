"""/servers/{id}/...: what the wire knows and servers here do not do yet, each refused by its own words.

What switches off something that is never on is done: then it is as was asked for.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.changes import Changing
from api.documented import failing
from api.routes.paths import PathId
from api.schemas.actions import ActionAnswer
from api.services import Asking, Use
from infra.db import servers
from infra.domain.changes import Resource
from infra.domain.errors import NotFound
from infra.domain.refusals import UnsupportedError

router = APIRouter(tags=["servers"])

ABSENT = {
    "POST": {
        "actions/reset_password": "guests take no passwords: use SSH keys",
        "actions/enable_rescue": "there is no rescue system yet",
        "actions/create_image": "snapshots and backups are not made yet",
        "actions/rebuild": "a server is not rebuilt yet: delete it and create it anew",
        "actions/change_type": "a server keeps its type yet",
        "actions/enable_backup": "backups are not made yet",
        "actions/attach_iso": "there are no ISOs to attach",
        "actions/request_console": "there is no console over the network yet",
    },
    "GET": {"metrics": "servers are not measured yet"},
}
"""By method and the end of the path: why it is refused."""

NEVER_ON = ("disable_rescue", "disable_backup", "detach_iso")


def _refuse(method: str, end: str, why: str) -> None:
    """Whatever its body says, which is not even read."""

    async def refuse(use: Use, asking: Asking, id: PathId) -> None:
        async with use.pool.connection() as connection:
            await servers.get(connection, asking.project_id, id)
        raise UnsupportedError(why)

    name = end.rpartition("/")[2]
    router.add_api_route(
        f"/servers/{{id}}/{end}",
        refuse,
        methods=[method],
        status_code=UnsupportedError.status,
        responses=failing(NotFound, UnsupportedError),
        name=name,
        summary=f"Not supported: {name.replace('_', ' ')}",
        description=f"Refused for every server: {why}.",
    )


def _switch_off(command: str) -> None:
    async def switch_off(changing: Changing, id: PathId) -> Response:
        about = Resource("server", id)
        return await changing.act(command, about, lambda c: servers.get(c, changing.project_id, id))

    router.add_api_route(
        f"/servers/{{id}}/actions/{command}",
        switch_off,
        methods=["POST"],
        status_code=201,
        response_model=ActionAnswer,
        responses=failing(NotFound),
        name=command,
        description="It is never on yet, so this changes nothing.",
    )


for _method, _ends in ABSENT.items():
    for _end, _why in _ends.items():
        _refuse(_method, _end, _why)
for _command in NEVER_ON:
    _switch_off(_command)
