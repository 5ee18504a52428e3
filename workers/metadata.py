"""The metadata service: what a guest asks its host about itself, on 169.254.169.254 and fe80::1, port 80.

Whose guest asks, the door says by which it came in (infra/drivers/metadata_doors.py). Answers come from the books, by
the host's claim, and are kept in memory only: a moment for owners, longer for the agent, which asks all the time and
whose answer is dropped when the server's ports are attached anew. While the API is away the last known ones are good.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Protocol

from infra.domain.errors import PuchifyError, StaleClaim
from infra.domain.metadata import NETWORK, Guest, answers
from infra.domain.port_plan import PortPlan
from infra.drivers import protocols
from infra.drivers.metadata_doors import keep_doors
from infra.drivers.metadata_http import Reply, converse
from infra.drivers.threads import SingleFlight

FRESH, FRESH_FOR_AGENT = 5.0, 120.0
"""Seconds that an answer counts as the books' own."""
AWAY = 1800.0
"""Seconds after which an answer is no longer given although the books cannot be asked."""
HURRY = 1.0  # seconds to wait for the books when there is an older answer: clients do not wait long
AGAIN = 10.0  # seconds to the next try after the service failed as a whole

log = logging.getLogger(__name__)


class Books(Protocol):
    """What of the internal API is needed."""

    async def guest(self, server_id: int) -> Guest: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the books told. ``asked``: when."""

    told: Mapping[str, bytes]
    asked: float


class Metadata:
    """One per host worker."""

    def __init__(self, books: Books, clock: Callable[[], float] = time.monotonic) -> None:
        self._books = books
        self._clock = clock
        self._known: dict[int, Known] = {}
        self._asking = SingleFlight[int, None]()
        self._dated: set[int] = set()
        """Servers whose ports have changed since the books were asked."""

    async def keep_on(self) -> None:
        """For ever; nothing that goes wrong here ends it, and nobody else waits for it."""
        while True:
            try:
                await keep_doors(self._serve, self._keep_only)
            except Exception:
                log.exception("guests cannot ask about themselves")
            await asyncio.sleep(AGAIN)

    def changed(self, server_id: int) -> None:
        """What the server's ports are is another than before."""
        self._dated.add(server_id)

    async def answer(self, server_id: int, path: str) -> Reply:
        """404 for what nobody knows, and for a server that is not this host's; 503 when the books cannot be asked."""
        known = self._known.get(server_id)
        if known is None or not self._is_fresh(server_id, known, path):
            try:
                async with asyncio.timeout(None if known is None else HURRY):
                    await self._asking.do(server_id, partial(self._ask, server_id))
            except StaleClaim:
                return Reply(HTTPStatus.NOT_FOUND)
            except (PuchifyError, TimeoutError) as error:
                log.info("what server %s may know of itself is not heard: %s", server_id, error)
            known = self._known.get(server_id)
        if known is None or self._clock() > known.asked + AWAY:
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE)
        body = known.told.get(path)
        return Reply(HTTPStatus.NOT_FOUND) if body is None else Reply(body=body)

    def _is_fresh(self, server_id: int, known: Known, path: str) -> bool:
        patience = FRESH_FOR_AGENT if path == NETWORK else FRESH
        return server_id not in self._dated and self._clock() <= known.asked + patience

    async def _ask(self, server_id: int) -> None:
        asked = self._clock()
        self._dated.discard(server_id)  # before: what changes from now on may not be in the answer
        try:
            self._known[server_id] = Known(answers(await self._books.guest(server_id)), asked)
        except StaleClaim:
            self._known.pop(server_id, None)
            raise
        except BaseException:
            self._dated.add(server_id)
            raise

    async def _serve(self, server_id: int, connection: socket.socket) -> None:
        await converse(connection, partial(self.answer, server_id))

    def _keep_only(self, server_ids: Collection[int]) -> None:
        for server_id in self._known.keys() - set(server_ids):
            del self._known[server_id]
        self._dated.intersection_update(server_ids)


class ToldPorts:
    """The host's ports, and who asks what has become of them is told when one is attached."""

    def __init__(self, ports: protocols.Ports, changed: Callable[[int], None]) -> None:
        self._ports = ports
        self._changed = changed

    async def attach(self, plan: PortPlan) -> None:
        await self._ports.attach(plan)
        self._changed(plan.server_id)

    async def detach(self, server_id: int) -> None:
        await self._ports.detach(server_id)

    async def held(self) -> set[int]:
        return await self._ports.held()
