"""Receiving: bytes into the image store and, once they are there for good, into the books.

Whoever brings them, a request or a source on the web, writes a file of its own. What it has written is acknowledged
every so many bytes or seconds and at its end, however that comes about; when this process is killed no more is lost
than what came after the last acknowledgement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from infra.db import image_imports
from infra.db.image_imports import Writing
from infra.db.pool import Pool
from infra.domain.errors import InvalidInput, ResourceUnavailable, Unavailable
from infra.drivers.store.children import StoreBusy
from infra.drivers.store.errors import StoreError, StoreFull
from infra.drivers.store.mount import ImageStore

EVERY_BYTES = 32 * 2**20
EVERY_SECONDS = 2.0
LEAST = 64 * 2**10
"""Bytes a second: who brings less keeps a place from the others."""
LOOK = 60.0
"""Seconds of waiting for bytes over which that is looked at; what the store takes is nobody's slowness."""


class Appending(Protocol):
    """One writer's file in the store."""

    @property
    def name(self) -> str: ...
    async def write(self, part: bytes) -> None: ...
    async def sync(self) -> int: ...


class BrokenOff(Exception):
    """Whoever brought the bytes went away in the middle, or fell silent. What came is kept."""


class TooSlow(BrokenOff):
    """They came, and too few of them."""

    def __init__(self) -> None:
        super().__init__(f"fewer than {LEAST // 2**10} KiB/s came")


@dataclass(frozen=True, slots=True)
class Received:
    """``offset``: of the next byte. ``complete``: there is none."""

    offset: int
    complete: bool


@dataclass(slots=True)
class Receiving:
    """``limit``: bytes that the whole may have. ``total``: that it will have, where somebody but the owner said it."""

    pool: Pool
    writing: Writing
    file: Appending
    limit: int
    total: int | None = None
    written: int = 0
    _durable: int = 0
    _told: int = 0
    _last: float = 0.0

    @property
    def offset(self) -> int:
        """Of the next byte."""
        return self.writing.start + self.written

    async def take(self, part: bytes) -> None:
        """InvalidInput: more than was said, or than fits the largest plan."""
        self.check(self.offset + len(part))
        await self.file.write(part)
        self.written += len(part)
        await self.tell_in_time()

    def check(self, size: int) -> None:
        """Whether the whole may have so many bytes."""
        said = self.writing.size
        if said is not None and size > said:
            raise InvalidInput.field("size", f"more bytes than the {said} that were announced")
        if size > self.limit:
            raise InvalidInput.field("size", f"more than {self.limit} bytes, which no server type has a disk for")

    async def tell_in_time(self) -> None:
        """Acknowledge what came since the last time, if that is much or long ago."""
        waiting, since = self.written - self._told, time.monotonic() - self._last
        if waiting >= EVERY_BYTES or (waiting and since >= EVERY_SECONDS):
            await self.tell()

    async def finish(self, whole: bool) -> Received:
        """Acknowledge the rest. ``whole``: it ended by itself, and that was all; a size that was said says more."""
        all_there = self.offset == self.writing.size if self.writing.size is not None else whole and self.offset > 0
        await self.tell(all_there)
        return Received(self.offset, all_there)

    async def tell(self, last: bool = False) -> None:
        """Acknowledge what came. WrongOffset: another has taken the place. ``last``: with it all is there."""
        self._durable = await self.file.sync() if self.written > self._durable else self._durable
        async with self.pool.connection() as connection:
            await image_imports.acknowledge(connection, self.writing, self.file.name, self._durable, last, self.total)
        self._told, self._last = self._durable, time.monotonic()


async def receive(
    pool: Pool,
    store: ImageStore,
    writing: Writing,
    parts: AsyncIterator[bytes | None],
    limit: int,
    whole: bool,
    total: int | None = None,
) -> Received:
    """All of ``parts``, until they end or break off. ``whole``: with their end, all of the image is there.

    A part None: nothing came for a moment. BrokenOff: they did not end by themselves, and are not all.
    ResourceUnavailable: the store is full. Unavailable: it is away or busy. Whatever it is, what came before counts.
    """
    try:
        async with store.appending(writing.image_id, writing.start) as file:
            receiving = Receiving(pool, writing, file, limit, total)
            try:
                async for part in parts:
                    if part:
                        await receiving.take(part)
                    else:
                        await receiving.tell_in_time()
            except InvalidInput:
                await receiving.tell()
                raise
            except BrokenOff:
                if (received := await receiving.finish(whole=False)).complete:
                    return received
                raise
            return await receiving.finish(whole)
    except StoreFull as cause:
        raise ResourceUnavailable("the image store is full; go on with the upload later") from cause
    except StoreBusy as cause:
        raise Unavailable("too many images are brought in at this moment; go on with the upload in a moment") from cause
    except StoreError as cause:
        raise Unavailable("the image store does not answer; go on with the upload in a moment") from cause


@dataclass(slots=True)
class _Pace:
    """What came in how many seconds of waiting for it."""

    waited: float = 0.0
    came: int = 0

    def add(self, waited: float, came: int) -> None:
        """TooSlow: less than the least."""
        self.waited += waited
        self.came += came
        if self.waited >= LOOK:
            if self.came < LEAST * self.waited:
                raise TooSlow
            self.waited, self.came = 0.0, 0


async def paced(parts: AsyncIterator[bytes], patience: float) -> AsyncIterator[bytes | None]:
    """The same parts, with a None for each moment in which none came. BrokenOff: none came for ``patience`` seconds, or
    too little in a longer time."""
    silent_since, pace = time.monotonic(), _Pace()
    coming = asyncio.ensure_future(anext(parts, None))
    try:
        while True:
            began = time.monotonic()
            await asyncio.wait([coming], timeout=min(EVERY_SECONDS, patience))
            waited = time.monotonic() - began
            if not coming.done():
                if time.monotonic() - silent_since >= patience:
                    raise BrokenOff
                pace.add(waited, 0)
                yield None
                continue
            if (part := coming.result()) is None:
                return
            silent_since, coming = time.monotonic(), asyncio.ensure_future(anext(parts, None))
            yield part
            pace.add(waited, len(part))
    finally:
        coming.cancel()
