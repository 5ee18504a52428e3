"""Change a resource: the books in one transaction, with the action and the answer; then the story that carries it out.

A route says what it changes and hands over the one function that does it, all its checks included::

    return await changing.act("add_subnet", Resource("network", id), lambda c: networks.add_subnet(c, ...), body)

Nothing is half done: a refusal rolls everything back; once committed, the change is carried out, if not now then by the
sweep. A repetition with the same ``Idempotency-Key`` reads the same answer and changes nothing. ``Prefer: wait=N`` asks
for the answer only when the actions have ended, or after N seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.idempotency import key_of
from api.patience import seconds_to_wait
from api.schemas.actions import action_wire
from api.services import Asking, Services, Use
from infra.db import actions, changes, idempotency
from infra.db.actions import Action
from infra.db.idempotency import Answer
from infra.db.keys import Caller
from infra.db.pool import Connection
from infra.domain.changes import Change, Resource
from infra.domain.errors import Unavailable
from infra.temporal.names import change_id

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks for the end of an action, for whoever waits for it."""

T = TypeVar("T")
ChangeBooks = Callable[[Connection], Awaitable[Any]]
Body = Mapping[str, Any]
LookAgain = Callable[[Connection, Body], Awaitable[Body]]


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One request that changes a resource. ``route`` tells it from others with the same key."""

    services: Services
    caller: Caller
    route: str
    key: str | None
    wait: int
    _begun: list[Change] = field(default_factory=list)

    @property
    def project_id(self) -> int:
        return self.caller.project_id

    async def act(
        self, command: str, about: Resource | Sequence[Resource], change: ChangeBooks, body: BaseModel | None = None
    ) -> Response:
        """Change the books, answer with the action. ``about``: what is changed, then what else the action is about."""
        resources = [about] if isinstance(about, Resource) else list(about)

        async def make(connection: Connection) -> Body:
            await change(connection)
            return {"action": action_wire(await self.begin(connection, command, *resources))}

        return await self.once(make, body)

    async def begin(
        self,
        connection: Connection,
        command: str,
        *about: Resource,
        location: str | None = None,
        locks_server: bool = False,
    ) -> Action:
        """The action of a change, inside its transaction; ``once`` begins its story when that is committed.

        ``location``: whose workers carry it out; unless given, this API's own. ``locks_server``: no other action is to
        touch the server among ``about`` meanwhile; Locked when one does.
        """
        where = location or self.services.settings.location
        action, change = await changes.accept(
            connection, self.project_id, where, command, about, locks_server=locks_server
        )
        self._begun.append(change)
        return action

    async def once(
        self,
        make: Callable[[Connection], Awaitable[Body]],
        body: BaseModel | None = None,
        status: int = 201,
        look: LookAgain | None = None,
    ) -> Response:
        """Do it in one transaction and answer with what it returns; or as the earlier request with this key was.

        ``look``: what else of the answer is told as it is after the wait, beside the actions.
        """
        key = key_of(self.key, self.project_id, self.route, body)

        async def do() -> Answer:
            return Answer(status, json.dumps(await make(connection), ensure_ascii=False))

        async with self.services.pool.connection() as connection, connection.transaction():
            answer = await idempotency.once(connection, key, do)
        await asyncio.gather(*(self._carry_out(change) for change in self._begun))
        if self.wait and self._begun:
            answer = replace(answer, body=await self._as_it_ended(answer.body, look))
        headers = {"Preference-Applied": f"wait={self.wait}"} if self.wait else None
        return Response(answer.body, answer.status, headers, media_type="application/json")

    async def along(self, make: Callable[[Connection], Awaitable[T]]) -> T:
        """Do it in one transaction, where the answer says nothing of the actions that it takes."""
        async with self.services.pool.connection() as connection, connection.transaction():
            made = await make(connection)
        await asyncio.gather(*(self._carry_out(change) for change in self._begun))
        return made

    async def _carry_out(self, change: Change) -> None:
        try:
            await self.services.stories.begin_change(change)
        except Unavailable:
            log.warning("action %s waits for the sweep", change.action_id, exc_info=True)

    async def _as_it_ended(self, body: str, look: LookAgain | None) -> str:
        """The answer, with its actions as they are after the wait."""
        await asyncio.gather(*(self._ends(change) for change in self._begun))
        ended = [await self._action(change) for change in self._begun]
        told, by_id = json.loads(body), {action.id: action_wire(action) for action in ended}
        if one := told.get("action"):
            told["action"] = by_id.get(one["id"], one)
        if "actions" in told:
            told["actions"] = [by_id.get(one["id"], one) for one in told["actions"]]
        if look:
            async with self.services.pool.connection() as connection:
                told |= await look(connection, told)
        return json.dumps(told, ensure_ascii=False)

    async def _ends(self, change: Change) -> None:
        """Within the wait. A story may go on when its action has ended: that of a shutdown looks after the guest."""
        story = asyncio.create_task(self.services.stories.wait(change_id(change), self.wait))
        try:
            while not story.done() and (await self._action(change)).status == "running":
                await asyncio.wait([story], timeout=LOOK)
        finally:
            story.cancel()

    async def _action(self, change: Change) -> Action:
        async with self.services.pool.connection() as connection:
            return await actions.get(connection, self.project_id, change.action_id)


async def change_request(
    request: Request,
    use: Use,
    asking: Asking,
    idempotency_key: Annotated[str | None, Header()] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> ChangeRequest:
    route = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
    return ChangeRequest(use, asking, route, idempotency_key, seconds_to_wait(prefer))


async def change_along(use: Use, asking: Asking) -> ChangeRequest:
    """Of a request that is answered at once, by what it changed and not by its actions."""
    return ChangeRequest(use, asking, "", None, 0)


Changing = Annotated[ChangeRequest, Depends(change_request)]
ChangingAlong = Annotated[ChangeRequest, Depends(change_along)]
