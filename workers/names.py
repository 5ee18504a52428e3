"""Names that nobody waits for: what changed in the books without a story of its own, or whose story was interrupted.

A server that is renamed, an address that is given back, a template that an operator changes: its note is followed here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from activities.dns import Names
from infra.beside import beside
from infra.config import Settings
from infra.db.pool import Pool
from infra.domain.errors import Unavailable
from workers.wiring import serving_of

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between two looks; together with the next, a name that nobody waits for is followed within a second."""
STORIES_FIRST = 0.3
"""Seconds that a note has for the story that waits for it: most are followed by then."""
PAUSE = 2.0
"""Seconds after a look that failed."""


def names_of(settings: Settings, pool: Pool) -> Names:
    return Names(pool, serving_of(settings, pool))


@asynccontextmanager
async def kept_named(names: Names) -> AsyncIterator[None]:
    """The name servers follow, for as long as this is open."""
    async with beside(_follow(names)):
        yield


async def _follow(names: Names) -> None:
    while True:
        try:
            await names.follow_all(STORIES_FIRST)
            await asyncio.sleep(EVERY)
        except (Unavailable, OperationalError, PoolTimeout) as away:
            log.warning("names are not followed now: %s", away)
            await asyncio.sleep(PAUSE)
        except Exception:  # next time is soon
            log.exception("names are not followed")
            await asyncio.sleep(PAUSE)
