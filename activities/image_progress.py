"""Progress of an import: in its action, each second, how far it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import OperationalError

from activities.heartbeats import beating
from infra.beside import beside
from infra.db import image_imports
from infra.db.pool import Pool
from infra.domain.imports import Phase

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds


@dataclass(slots=True)
class Done:
    """Bytes so far, of ``total``. Called by whoever counts them."""

    total: int | None
    bytes: int = 0

    def __call__(self, done: int) -> None:
        self.bytes = done


@asynccontextmanager
async def telling(pool: Pool, action_id: int, phase: Phase, total: int | None) -> AsyncIterator[Done]:
    """The action's progress follows what is counted, and the step gives signs of life."""
    done = Done(total)
    async with beside(_again_and_again(pool, action_id, phase, done)), beating():
        yield done


async def _again_and_again(pool: Pool, action_id: int, phase: Phase, done: Done) -> None:
    told = -1
    while True:
        if done.bytes != told:
            told = done.bytes
            try:
                async with pool.connection() as connection:
                    await image_imports.advance(connection, action_id, phase, told, done.total)
            except OperationalError:  # a picture of the work, not the work
                log.warning("the progress of action %s is not told", action_id, exc_info=True)
        await asyncio.sleep(EVERY)
