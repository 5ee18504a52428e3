"""Image sources: an image's bytes, fetched from where its owner said they are, into the store.

They are kept as those of an upload are: what was acknowledged is not fetched again, by whoever goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

from temporalio import activity

from activities.heartbeats import beating
from infra.db import image_imports
from infra.db.image_imports import Import, Writing
from infra.db.pool import Pool
from infra.domain.changes import Change
from infra.domain.errors import Conflict, ImageUnusable, InvalidInput, NotFound, RateLimited, Unavailable
from infra.drivers.store.mount import ImageStore
from infra.drivers.web import Opened, SourceBroke, Web
from infra.receiving import BrokenOff, TooSlow, paced, receive

TRIES = 6
"""How often in a row a source may break off without having sent anything."""
SLOW = 6
"""How often a source may be broken off because it sends next to nothing."""
PATIENCE = 60.0
"""Seconds without a byte after which a connection is given up."""


class ImageSources:
    def __init__(self, pool: Pool, store: ImageStore, web: Web, pause: float = 1.0) -> None:
        """``pause``: seconds until a source that broke off is asked again; twice as long each time."""
        self._pool = pool
        self._store = store
        self._web = web
        self._pause = pause

    @activity.defn
    async def fetch_source(self, change: Change) -> None:
        """Until all of it is there. ImageUnusable: it is not to be had, or is not what was said of it."""
        image_id, broken, slow, before = change.resource.id, 0, 0, -1
        async with beating():
            while (found := await self._open(image_id)) and found.uploaded is None:
                broken, before = (0 if found.received > before else broken), found.received
                try:
                    with _ends_told(), self._store.shares.taken(found.project_id):
                        await self._fetch(found)
                except NotFound:
                    continue  # deleted meanwhile
                except (SourceBroke, BrokenOff) as cause:
                    broken, slow = broken + 1, slow + isinstance(cause, TooSlow)
                    if broken == TRIES or slow == SLOW:
                        raise ImageUnusable(
                            f"the image's source broke off {max(broken, slow)} times: {_why(cause)}"
                        ) from cause
                    await asyncio.sleep(self._pause * 2 ** (broken - 1))

    async def _open(self, image_id: int) -> Import | None:
        """None: it was deleted, and its story will know."""
        async with self._pool.connection() as connection:
            found = await image_imports.find(connection, image_id)
        return found if found and not found.image_gone else None

    async def _fetch(self, found: Import) -> None:
        assert found.source_url is not None, "the story fetches only what is to be fetched"
        async with self._pool.connection() as connection:
            limit = await image_imports.largest(connection)
            writing = await image_imports.take_place(connection, found, found.received)
        async with self._web.open(found.source_url, writing.start, found.validator) as opened:
            if opened.start == 0:
                writing = await self._from_its_beginning(writing, opened)
            received = await receive(
                self._pool, self._store, writing, paced(_parts(opened), PATIENCE), limit, True, opened.total
            )
        if not received.complete:
            raise ImageUnusable(f"the image's source ended after {received.offset} bytes; {found.size} were announced")

    async def _from_its_beginning(self, writing: Writing, opened: Opened) -> Writing:
        async with self._pool.connection() as connection:
            await image_imports.begin_anew(connection, writing, opened.validator)
        return replace(writing, start=0)


@contextmanager
def _ends_told() -> Iterator[None]:
    """What an upload's client would be told, as it is to be said of a source."""
    try:
        yield
    except InvalidInput as cause:
        raise ImageUnusable(f"the image's source has {'; '.join(cause.reasons)}") from cause
    except Conflict as cause:
        raise Unavailable("another try goes on with it") from cause
    except RateLimited as cause:
        raise Unavailable(cause.message) from cause


async def _parts(opened: Opened) -> AsyncIterator[bytes]:
    try:
        async for part in opened.parts:
            yield part
    except SourceBroke as cause:
        raise BrokenOff(str(cause)) from cause


def _why(cause: Exception) -> str:
    return str(cause) or "nothing came any more"
