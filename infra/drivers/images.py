"""The host's image cache: what the store has, on the host's own storage, where a clone of it costs nothing.

An image is fetched once however many tasks and processes of the host ask, verified while it is, and appears by rename.
What was not used for longest leaves when the cache gets too big (image_room.py). What is fetched ahead of any order
gives way to what an order waits for. While the store does not answer, what is here goes on being used.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from infra.domain.errors import HostFull, HostUnavailable, ImageDoubtful
from infra.domain.models import Image
from infra.drivers.disks import storage_errors
from infra.drivers.durable import sync
from infra.drivers.image_locks import ImageLocks
from infra.drivers.image_room import ImageRoom
from infra.drivers.layout import GIB, HostLayout
from infra.drivers.protocols import Progress
from infra.drivers.store.errors import ImageDamaged, ImageMissing, StoreError
from infra.drivers.store.mount import ImageStore
from infra.drivers.threads import SingleFlight, run

BREATH = 1.0  # seconds between two words of progress
LOOK_EVERY = 20.0  # seconds, at a store that does not answer
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logging.getLogger(__name__)


class GaveWay(Exception):
    """What was fetched ahead of orders was left for what an order waits for."""


class CachedImages:
    def __init__(self, layout: HostLayout, store: ImageStore, room: ImageRoom) -> None:
        self.store_is_away = False
        """It was given up, or refused, and has not answered since."""
        self._layout = layout
        self._store = store
        self._room = room
        self._locks = ImageLocks(layout.locks)
        self._fetching = SingleFlight[str, None]()
        self._done: dict[str, int] = {}
        self._ordered = Counter[str]()
        self._calm = asyncio.Event()
        self._calm.set()
        self._ahead: tuple[str, asyncio.Task[None]] | None = None

    async def ensure(self, image: Image, progress: Progress) -> None:
        """Whoever waits is told the progress, however many wait for the same image."""
        if await run(None, partial(self._room.use, image.digest)):
            return
        with self._order(image.digest):
            waiting = asyncio.create_task(self._fetched(image))
            try:
                while not waiting.done():
                    progress(self._done.get(image.digest, 0))
                    await asyncio.wait([waiting], timeout=BREATH)
            finally:
                waiting.cancel()  # does nothing to one that is done, and never ends the flight for the others
            await waiting

    async def prefetch(self, image: Image) -> None:
        """Nothing leaves the cache for it; what finds no room is left out."""
        while not await run(None, partial(self._room.use, image.digest)):
            await self._calm.wait()
            if not await self._fits(image.digest):
                return
            try:
                await self._fetching.do(image.digest, partial(self._fetch_ahead, image))
            except GaveWay:
                continue

    async def keep_looking(self) -> None:
        """For ever: whether a store that was away answers again."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.store_is_away:
                try:
                    await self._store.images()
                except StoreError as error:
                    log.warning("the image store is still away: %s", error)
                else:
                    self.store_is_away = False

    def hindrances(self) -> list[str]:
        """What does not work of it, in words, while the host itself does."""
        return ["the image store does not answer: only images that are cached here can be used"] * self.store_is_away

    @contextmanager
    def _order(self, digest: str) -> Iterator[None]:
        self._ordered[digest] += 1
        self._calm.clear()
        if self._ahead is not None and not self._ordered[self._ahead[0]]:
            self._ahead[1].cancel()
        try:
            yield
        finally:
            self._ordered[digest] -= 1
            self._ordered += Counter()  # drops zeros
            if not self._ordered:
                self._calm.set()

    async def _fetched(self, image: Image) -> None:
        while True:
            try:
                return await self._fetching.do(image.digest, partial(self._fetch, image, self._make_room))
            except GaveWay:
                continue

    async def _fits(self, digest: str) -> bool:
        with self._store_errors(digest):
            stored = (await self._store.images()).get(digest)
        content = await run(None, self._room.content)
        return stored is not None and sum(image.size for image in content) + stored.size <= self._room.limit

    async def _fetch_ahead(self, image: Image) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ahead = (image.digest, task)
        try:
            await self._fetch(image, _nothing)
        except asyncio.CancelledError:
            raise GaveWay from None
        finally:
            self._ahead = None

    async def _fetch(self, image: Image, make_room: Callable[[Image], Awaitable[None]]) -> None:
        try:
            async with self._locks.hold(image.digest, alone=True):
                if await run(None, partial(self._room.touch, image.digest)):
                    return  # another process was faster
                with self._store_errors(image.name):
                    await make_room(image)
                    await self._bring(image)
        finally:
            self._done.pop(image.digest, None)
        await run(None, partial(self._room.make, 0))

    async def _make_room(self, image: Image) -> None:
        """HostFull: all that is here is in use, and the storage is nearly full."""
        content = await run(None, self._room.content)
        if sum(cached.size for cached in content) + image.disk_gib * GIB <= self._room.limit:
            return  # however full it is
        stored = (await self._store.images()).get(image.digest)
        if stored is None or not await run(None, partial(self._room.make, stored.size)):
            return
        if not await run(None, partial(self._room.can_exceed, stored.size)):
            raise HostFull("there is no room for the server's image")

    async def _bring(self, image: Image) -> None:
        """ImageDamaged: twice, so it is no accident of one reading. HostFull: no room, and none can be made."""
        try:
            await self._bring_once(image)
        except ImageDamaged as error:
            log.error("the image %s arrived damaged: %s; it is read again", image.digest, error)
            await self._bring_once(image)
        except OSError as error:
            if error.errno not in NO_ROOM or not await run(None, self._room.clear):
                raise
            await self._bring_once(image)

    async def _bring_once(self, image: Image) -> None:
        target = self._layout.image(image.digest)
        unfinished = self._layout.unfinished(target)
        try:
            await run(None, partial(_begin, unfinished))
            await self._store.fetch(image.digest, unfinished, partial(self._done.__setitem__, image.digest))
            await run(None, partial(_publish, unfinished, target))
        finally:
            await run(None, partial(shutil.rmtree, unfinished, ignore_errors=True))

    @contextmanager
    def _store_errors(self, name: str) -> Iterator[None]:
        """What the store and the storage say, in the words of a host."""
        try:
            with storage_errors():
                yield
        except ImageMissing as error:
            raise ImageDoubtful(f"the image {name!r} is not in the image store") from error
        except ImageDamaged as error:
            raise ImageDoubtful(f"the image {name!r} is damaged") from error
        except StoreError as error:
            self.store_is_away = True
            raise HostUnavailable("the image store does not answer; try again") from error
        else:
            self.store_is_away = False


async def _nothing(_: Image) -> None: ...


def _begin(unfinished: Path) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o711)


def _publish(unfinished: Path, target: Path) -> None:
    os.utime(unfinished)  # its first use is now, however long the fetch took
    unfinished.rename(target)
    sync(target.parent)
