"""The way to the books that every request takes: one question for a key at a time, for all requests that wait with it.

However many come with a key, they never hold more than one connection of this process, so nobody else waits for them.
And a bucket that is empty stays so until a moment that is known: until then it is not asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from infra.db import rate_limit
from infra.db.keys import Caller
from infra.db.pool import QUICK, Pool, Silent
from infra.db.rate_limit import Admitted
from infra.domain.errors import Unavailable
from infra.domain.rate_limit import Pace, Verdict

LONGEST = 1.0  # seconds that a refusal is repeated unasked; then a key that was revoked is told so


@dataclass(frozen=True, slots=True)
class Passage:
    """``verdict``: None when there is no limit."""

    caller: Caller
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """``asked``: on this process's clock, before the database answered, so that it never lasts too long."""

    passage: Passage
    verdict: Verdict
    asked: float

    def at(self, now: float) -> Passage | None:
        """What it says at that time; None: it may not stand any more."""
        elapsed = now - self.asked
        if elapsed >= min(self.verdict.wait, LONGEST):
            return None
        return Passage(self.passage.caller, self.verdict.after(elapsed))


class Turnstile:
    def __init__(self, pool: Pool, pace: Pace | None, clock: Callable[[], float] = time.monotonic) -> None:
        """``pool``: of infra.db.pool.open_quick_pool."""
        self._pool = pool
        self._pace = pace
        self._clock = clock
        self._waiting: dict[bytes, list[asyncio.Future[Passage | None]]] = {}
        self._refusals: dict[bytes, Refusal] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def admit(self, digest: bytes) -> Passage | None:
        """Count one request. None: the key is none, revoked or expired. Unavailable: the database does not answer."""
        if refused := self._refused(digest):
            return refused
        place: asyncio.Future[Passage | None] = asyncio.get_running_loop().create_future()
        if digest in self._waiting:
            self._waiting[digest].append(place)
        else:
            self._waiting[digest] = [place]
            task = asyncio.create_task(self._ask_for(digest))  # its own: it outlives a client that goes away
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return await place

    def _refused(self, digest: bytes) -> Passage | None:
        refusal = self._refusals.get(digest)
        return refusal.at(self._clock()) if refusal else None

    async def _ask_for(self, digest: bytes) -> None:
        """Who comes while a question is on its way is asked for by the next one."""
        try:
            while places := self._waiting[digest]:
                self._waiting[digest] = []
                await self._settle(digest, places)
        finally:
            del self._waiting[digest]

    async def _settle(self, digest: bytes, places: list[asyncio.Future[Passage | None]]) -> None:
        answers: Sequence[Passage | Exception | None]
        try:
            refused = self._refused(digest)
            answers = [refused] * len(places) if refused else await self._ask(digest, len(places))
        except OperationalError as cause:
            answers = [_unavailable(cause) for _ in places]
        except Exception as cause:
            answers = [cause for _ in places]
        for place, answer in zip(places, answers, strict=True):
            if place.done():
                continue  # its client went away
            if isinstance(answer, Exception):
                place.set_exception(answer)
            else:
                place.set_result(answer)

    async def _ask(self, digest: bytes, count: int) -> list[Passage | None]:
        asked = self._clock()
        self._refusals.pop(digest, None)
        admitted = await self._question(digest, count)
        if admitted is None:
            return [None] * count
        if admitted.verdicts is None:
            return [Passage(admitted.caller, None)] * count
        passages: list[Passage | None] = [Passage(admitted.caller, verdict) for verdict in admitted.verdicts]
        last = admitted.verdicts[-1]
        if last.wait:
            self._refusals[digest] = Refusal(Passage(admitted.caller, last), last, asked)
        return passages

    async def _question(self, digest: bytes, count: int) -> Admitted | None:
        """A connection may have died while it was idle: then the next is taken, and there are only so many."""
        for spare in reversed(range(QUICK + 1)):
            try:
                async with self._pool.connection() as connection:
                    return await rate_limit.admit(connection, digest, count, self._pace)
            except (PoolTimeout, Silent):
                raise
            except OperationalError:
                if not spare:
                    raise
        raise AssertionError("the last one returns or raises")


def _unavailable(cause: OperationalError) -> Unavailable:
    error = Unavailable("the database does not answer; try again in a moment")
    error.__cause__ = cause
    return error
