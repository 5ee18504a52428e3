"""A load as in production: images are uploaded and stored without a pause, another host fetches them; how long each
took, and what was acknowledged.

All of it through ImageStore, so a mount that hangs can hang nobody here. What fails is tried again, as in production.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from infra.drivers.store.errors import StoreAway, StoreError
from infra.drivers.store.mount import ImageStore, Published, Segment
from tests.store.disks import MIB, sparse_disk

T = TypeVar("T")

PAUSE = 0.5
"""Seconds until what failed is tried again, and between two images: all of them are read again in the end."""


def unheard(_: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Done:
    """Monotonic seconds from when it was wanted until it was done, failures and repetitions included."""

    begun: float
    ended: float

    @property
    def took(self) -> float:
        return self.ended - self.begun


@dataclass
class Load:
    """``acknowledged``: digests of what ``a`` was told is stored. ``wrong``: what no outage excuses."""

    a: ImageStore
    b: ImageStore
    place: Path
    acknowledged: list[str]
    uploads: list[Done] = field(default_factory=list)
    reads: list[Done] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._upload_on()), tasks.create_task(self._read_on())]
            yield
            for task in running:
                task.cancel()

    async def done_since(self, moment: float, patience: float) -> tuple[float, float]:
        """How long the first upload and the first read took that were wanted after ``moment``. TimeoutError."""
        async with asyncio.timeout(patience):
            while True:
                upload, read = _first(self.uploads, moment), _first(self.reads, moment)
                if upload and read:
                    return upload.took, read.took
                self._changed.clear()
                await self._changed.wait()

    def worst(self, since: float) -> tuple[float, float]:
        """The longest upload and the longest read, in seconds, of those that ended after ``since``."""
        uploads, reads = ([one.took for one in kind if one.ended > since] for kind in (self.uploads, self.reads))
        return max(uploads, default=0.0), max(reads, default=0.0)

    async def _upload_on(self) -> None:
        for number in itertools.count():
            directory = some_image(self.place / f"new{number}")
            published = await self._insist(self.uploads, partial(self._bring_in, number, directory))
            shutil.rmtree(directory)
            if published is not None:
                self.acknowledged.append(published.digest)
            await asyncio.sleep(PAUSE)

    async def _bring_in(self, number: int, directory: Path) -> Published:
        """As an image is that its owner uploads: received on one machine, gathered and stored on another."""
        content = (directory / "disk.raw").read_bytes()
        async with self.b.appending(number, 0) as segment:
            await segment.write(content)
            acknowledged = Segment(segment.name, 0, await segment.sync())
        gathered = await self.a.collect(number, [acknowledged], self.place / "gathered", unheard)
        if gathered != hashlib.sha256(content).hexdigest():
            self.wrong.append(f"upload {number} was gathered as something else")
        await self.a.discard(number)
        return await self.a.publish(directory, unheard)

    async def _read_on(self) -> None:
        chance = random.Random(7)
        while True:
            if self.acknowledged:
                await self._insist(self.reads, lambda: self._fetch(chance.choice(self.acknowledged)))
            await asyncio.sleep(PAUSE)

    async def _fetch(self, digest: str) -> None:
        (into := self.place / "read").mkdir(exist_ok=True)
        await self.b.fetch(digest, into, unheard)
        shutil.rmtree(into)

    async def _insist(self, into: list[Done], work: Callable[[], Awaitable[T]]) -> T | None:
        begun = time.monotonic()
        while True:
            try:
                done = await work()
            except StoreAway as error:
                self.repeated.append(str(error))
                await asyncio.sleep(PAUSE)
            except StoreError as error:
                self.wrong.append(repr(error))
                return None
            else:
                into.append(Done(begun, time.monotonic()))
                self._changed.set()
                return done


def some_image(directory: Path) -> Path:
    """A disk of 4 MiB that nobody has had before."""
    directory.mkdir()
    sparse_disk(directory / "disk.raw", 8 * MIB, [(0, 3 * MIB), (6 * MIB, MIB)])
    return directory


def _first(done: list[Done], moment: float) -> Done | None:
    return next((one for one in done if one.begun > moment), None)
