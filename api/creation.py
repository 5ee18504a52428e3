"""Create a server: check, accept, admit, answer; every way out leaves either one order or none.

Accepted in one transaction, an order is never lost: whatever happens to this process afterwards, the sweep begins its
story and a repetition with the same Idempotency-Key finds it. When Temporal does not answer, the order is taken back,
unless its story began: then it stands, and the answer is the same as if nothing had happened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from api.choices import new_server
from api.schemas.actions import action_wire
from api.schemas.servers import CreatedServer, CreateServer
from api.services import Services
from api.shown_servers import shown
from infra.db import actions, idempotency, orders, servers
from infra.db.idempotency import Answer, IdempotencyKey
from infra.db.keys import Caller
from infra.db.orders import Accepted, Withdrawal
from infra.db.pool import Connection
from infra.domain.errors import BY_NAME, Conflict, OrderWithdrawn, PuchifyError, Unavailable
from infra.domain.models import Failure, ServerOrder
from infra.temporal.names import provision_id

STATUS = {kind.code: kind.status for kind in BY_NAME.values()}


class Refused(PuchifyError):
    """A refusal as the story or the books tell it, passed on as it is."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, failure.details)
        self.code, self.status = failure.code, failure.status  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Creation:
    """One POST /servers. ``wait``: seconds to wait for the server to run before it is answered."""

    services: Services
    caller: Caller
    body: CreateServer
    key: IdempotencyKey | None
    wait: float

    async def answer(self) -> Answer:
        async with self.services.pool.connection() as connection:
            accepted = await self._accept(connection)
            if accepted.answer:
                return accepted.answer
            order = await orders.load_order(connection, accepted.server_id)
            if order is None:
                raise await self._ended(connection, accepted.server_id)
        await self._admit(order)
        return await self._tell(order)

    async def _accept(self, connection: Connection) -> Accepted:
        # A repetition is answered before its choices are checked: what they name may be gone since.
        if self.key and (earlier := await idempotency.reserved(connection, self.key)):
            return Accepted(earlier.server_id, earlier.action_id, earlier.answer)
        new = await new_server(connection, self.caller, self.body, self.services.settings.location)
        return await orders.accept(connection, new, self.key)

    async def _admit(self, order: ServerOrder) -> None:
        """Returns when the order stands."""
        try:
            admission = await self.services.stories.admit(order)
        except Unavailable:
            async with self.services.pool.connection() as connection:
                if await orders.withdraw(connection, order.server_id) is Withdrawal.BEGAN:
                    return
            raise
        if admission and admission.refused:
            async with self.services.pool.connection() as connection:
                if admission.refused.code == OrderWithdrawn.code:  # by a repetition, or a delete: the books know
                    raise await self._ended(connection, order.server_id)
                await idempotency.release(connection, order.server_id)
            raise Refused(admission.refused)

    async def _tell(self, order: ServerOrder) -> Answer:
        """201, as the books have it now, or after the wait."""
        async with self.services.pool.connection() as connection:
            told = await self._view(connection, order)
        if self.wait:
            await self.services.stories.wait(provision_id(order.server_id), self.wait)
            async with self.services.pool.connection() as connection:
                told = await self._view(connection, order, told)
        answer = Answer(201, json.dumps(told, ensure_ascii=False))
        if self.key is None:
            return answer
        async with self.services.pool.connection() as connection:
            written = await idempotency.write_answer(connection, self.key, order.server_id, answer)
            if written is None:  # the server failed since, and a repetition was told so: this is the same request
                await self._view(connection, order)
            return written or answer

    async def _view(
        self, connection: Connection, order: ServerOrder, before: CreatedServer | None = None
    ) -> CreatedServer:
        """The answer's body. A server that is gone already is told as it was ``before``; its action says why."""
        done = {one.id: action_wire(one) for one in await actions.of_server(connection, order.server_id)}
        try:
            server = await servers.get(connection, order.project_id, order.server_id)
        except PuchifyError:
            if before is None:
                raise await self._ended(connection, order.server_id) from None
            told = before["server"]
        else:
            told = (await shown(connection, [server]))[0]
        return {
            "server": told,
            "action": done[order.action_id],
            "next_actions": [done[order.start_action_id]] if order.start_action_id else [],
            "root_password": None,
        }

    async def _ended(self, connection: Connection, server_id: int) -> PuchifyError:
        """Why there is no server any more, for a repetition that comes when all is over and nothing was answered."""
        done = await actions.of_server(connection, server_id)
        if any(action.command == "create_server" and action.status == "success" for action in done):
            return Conflict("the server that was ordered with this Idempotency-Key has been deleted since")
        await idempotency.release(connection, server_id)
        for action in done:
            if action.error_code:
                message = action.error_message or "the server could not be created"
                return Refused(Failure(action.error_code, message, STATUS.get(action.error_code, 409)))
        return Unavailable("the order was taken back; try again")
