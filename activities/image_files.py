"""Image files: from the parts of an upload to the one file that is the image in the store.

Each step makes sure that those before it are done, in the scratch of the worker that it runs on: one whose worker died
is taken up by any other, out of what was received, and the owner uploads nothing again. The owner's bytes are looked
at by us alone, and no byte of them gets into the store but what our own encoding makes of the disk in them.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from temporalio import activity

from activities.heartbeats import beating
from activities.image_progress import Done, telling
from infra.db import image_imports
from infra.db.image_imports import Import
from infra.db.pool import Pool
from infra.domain.changes import Change
from infra.domain.errors import ImageUnusable, ResourceUnavailable, Unavailable
from infra.domain.image_header import Identified, identify
from infra.domain.imports import GIB, Phase, StoredImage
from infra.drivers.convert import convert_to_raw
from infra.drivers.durable import sync
from infra.drivers.image_file import opened
from infra.drivers.scratch import UNFINISHED, Scratch
from infra.drivers.store.errors import ImageDamaged, ImageMissing, StoreError, StoreFull
from infra.drivers.store.mount import ImageStore, Segment
from infra.drivers.threads import run

T = TypeVar("T")

AT_ONCE = 4
"""Images that one worker takes apart at a time; the others wait, and say so."""
OF_A_PROJECT = 2
"""Of these, of one project: nobody waits for all of another's images."""
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_FOR = 1800.0
"""Seconds for which room is waited for, in the store or in the scratch: others' images leave, or an operator helps."""
FULL_PAUSE = 60.0
"""Seconds between two looks: each look writes into what room there is."""
UNSEEN_FOR = 300.0
"""Seconds for which a part that was acknowledged may not be seen here: another host made it, or a mount is away."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is made of one import, in its own directory: ``source`` as it was received, then ``image``."""

    found: Import
    segments: list[Segment]
    limit: int
    directory: Path
    done: Done

    @property
    def source(self) -> Path:
        return self.directory / "source"

    @property
    def image(self) -> Path:
        return self.directory / "image"

    @property
    def disk(self) -> Path:
        return self.image / "disk.raw"


class Places:
    """``most`` at a time, of one project ``each``; the others wait, in their order."""

    def __init__(self, most: int, each: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._each = each
        self._own: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, project_id: int) -> AsyncIterator[None]:
        own = self._own.get(project_id) or asyncio.Semaphore(self._each)
        self._own[project_id] = own  # for as long as anybody has it, or waits
        async with own, self._all:
            yield


class ImageFiles:
    def __init__(self, pool: Pool, store: ImageStore, scratch: Scratch, patience: float = 120) -> None:
        """``patience``: seconds that a conversion may be silent."""
        self._pool = pool
        self._store = store
        self._scratch = scratch
        self._patience = patience
        self._places = Places(AT_ONCE, OF_A_PROJECT)

    @activity.defn
    async def gather_image(self, change: Change) -> None:
        """The file as its owner has it. ImageUnusable: it is not what was said of it."""
        await _once_there_is_room(partial(self._gather, change))

    @activity.defn
    async def convert_image(self, change: Change) -> None:
        """The disk in it. ImageUnusable: there is none, or none that we take."""
        await _once_there_is_room(partial(self._convert, change))

    @activity.defn
    async def publish_image(self, change: Change) -> StoredImage:
        """In the store, read back and found right. ResourceUnavailable: there is no room in it, and none gets free."""
        return await _once_there_is_room(partial(self._publish, change))

    async def _gather(self, change: Change) -> None:
        async with self._at_work(change, "gather") as work:
            await self._ensure_gathered(work)

    async def _convert(self, change: Change) -> None:
        async with self._at_work(change, "convert") as work:
            await self._ensure_converted(work)

    async def _publish(self, change: Change) -> StoredImage:
        async with self._at_work(change, "publish") as work:
            await self._ensure_converted(work)
            size = work.done.total = work.disk.stat().st_size
            try:
                published = await self._store.publish(work.image, work.done)
            except (ImageMissing, ImageDamaged) as cause:  # of what the store was given just now, not of the upload
                raise Unavailable("the image store did not keep the image; it is stored once more") from cause
            return StoredImage(published.digest, published.size, size)

    @asynccontextmanager
    async def _at_work(self, change: Change, phase: Phase) -> AsyncIterator[Work]:
        image_id = change.resource.id
        async with self._pool.connection() as connection:
            found = await image_imports.find(connection, image_id)
            if found is None:
                raise ImageUnusable("the image was given up")
            parts = await image_imports.segments(connection, image_id)
            limit = GIB * await image_imports.largest_disk(connection)
        segments = [Segment(name, start, length) for name, start, length in parts]
        async with telling(self._pool, change.action_id, phase, found.received) as done:
            with _troubles_told():
                async with self._places.of(found.project_id), self._scratch.held(image_id) as directory:
                    yield Work(found, segments, limit, directory, done)

    async def _ensure_gathered(self, work: Work) -> None:
        if work.source.exists() or work.disk.exists():
            return
        fresh = work.source.with_name(f"source{UNFINISHED}")
        digest = await self._store.collect(work.found.image_id, work.segments, fresh, work.done)
        size = fresh.stat().st_size
        if size != work.found.received:
            raise ImageUnusable(f"the upload has {size} bytes, and not the {work.found.received} that were received")
        if work.found.sha256 not in (None, digest):
            raise ImageUnusable(f"the upload's sha256 is {digest}, and not {work.found.sha256} as announced")
        fresh.rename(work.source)

    async def _ensure_converted(self, work: Work) -> None:
        if work.disk.exists():
            return
        await self._ensure_gathered(work)
        identified = await asyncio.to_thread(_identify, work)
        work.done.total = identified.virtual_size
        fresh = work.image.with_name(f"image{UNFINISHED}")
        fresh.mkdir()
        await convert_to_raw(work.source, identified, fresh / "disk.raw", work.done, self._patience)
        await run(None, partial(_keep, fresh, work.image))
        work.source.unlink()


def _keep(fresh: Path, final: Path) -> None:
    """What has its final name is complete, after a power cut too: no name is on the disks before what it stands for."""
    for path in (*fresh.iterdir(), fresh):
        sync(path)
    fresh.rename(final)
    sync(final.parent)


async def _once_there_is_room(step: Callable[[], Awaitable[T]]) -> T:
    """ResourceUnavailable: there has been none for too long. Whoever waits for it has no place of those who work."""
    async with beating():
        while True:
            try:
                return await step()
            except ResourceUnavailable:
                if _tried_for() >= FULL_FOR:
                    raise
            await asyncio.sleep(FULL_PAUSE)


def _tried_for() -> float:
    """Seconds since this step was first asked for."""
    return (datetime.now(UTC) - activity.info().scheduled_time).total_seconds()


def _identify(work: Work) -> Identified:
    with opened(work.source) as source:
        return identify(source, work.limit, work.found.format)


@contextmanager
def _troubles_told() -> Iterator[None]:
    """What the store and the scratch can have, as the owner may read it."""
    try:
        yield
    except StoreFull as cause:
        raise ResourceUnavailable("the image store is full; try again later") from cause
    except ImageMissing as cause:
        if _tried_for() < UNSEEN_FOR:
            raise Unavailable("a part of the upload cannot be seen at the moment; it is looked for again") from cause
        raise ImageUnusable("the upload is not there any more as it was received") from cause
    except ImageDamaged as cause:
        raise ImageUnusable("the upload is not there any more as it was received") from cause
    except StoreError as cause:
        raise Unavailable("the image store does not answer; try again in a moment") from cause
    except OSError as cause:
        if cause.errno not in FULL:
            raise
        raise ResourceUnavailable("there is no room to take the image apart; try again later") from cause
