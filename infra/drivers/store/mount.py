"""The image store as a worker sees it: asynchronous, and never hanging, whatever becomes of the mount below it.

All that touches the mount happens in a child process (`children.py`), which is given up after ``patience`` seconds
without a sign of progress. What it does there is in `stored_files.py` and `segments.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.drivers.protocols import Progress
from infra.drivers.store.children import Child, Children
from infra.drivers.store.errors import ImageMissing, StoreAway
from infra.drivers.store.pack import FILES
from infra.drivers.store.segments import name_of
from infra.drivers.store.shares import Shares
from infra.drivers.threads import run

DIGEST = re.compile(r"[0-9a-f]{64}")
BREATH = 1.0  # seconds between two words of progress
FRAME = 4  # bytes of a length
PIECE = 2**20  # bytes written to a segment at a time
WRITERS = 16  # uploads that one process receives at a time
WRITER_WAIT = 10.0  # seconds that one more waits for its place: who brings the bytes is told, and comes again
PROJECT_WRITERS = 4  # of them, of one project: nobody has all places
SETTLE = 15.0
"""Seconds within which a name that one host made is seen by all (reference figures: GlusterFS 1 s, CephFS 5 s)."""


@dataclass(frozen=True, slots=True)
class Published:
    """``size``: bytes of the stored file."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """``size``: bytes of the stored file. ``age``: seconds since it was written."""

    size: int
    age: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an upload. ``length``: the bytes of it that were acknowledged; the file may have more."""

    name: str
    start: int
    length: int


@dataclass(slots=True)
class _Spoken:
    at: int = 0


class ImageStore:
    """``path``: the mount. ``patience``: seconds of silence. ``children``: so many at a time; uploads not counted.

    ``settle``: seconds that a name is waited for which another host may just have made; 0 on one machine.
    ``marked``: a directory without the store's marker is taken for one on which the store is not mounted.
    ``shares``: by project, of the writers that this process has.
    Every method raises StoreError, and ``progress`` is called every second until it answers.
    """

    def __init__(
        self, path: Path, patience: float = 120, children: int = 4, settle: float = SETTLE, marked: bool = False
    ) -> None:
        self._where = {"store": path.absolute(), "marked": marked}
        self._settle = settle
        self._children = Children(children, patience)
        self._writers = Children(WRITERS, patience, WRITER_WAIT)
        self.shares = Shares(PROJECT_WRITERS)

    async def publish(self, directory: Path, progress: Progress) -> Published:
        """Store the image whose files (`pack.FILES`) are in a local directory, and read it back.

        A good copy that is there already stays, a bad one is replaced. OSError: of the directory.
        """
        done = await self._do("publish", progress, directory=directory, settle=self._settle)
        return Published(**done)

    async def fetch(self, digest: str, into: Path, progress: Progress) -> None:
        """Unpack an image into the empty local directory ``into``, verified and synced; nothing is left on failure.

        OSError: of ``into``, as where there is no room.
        """
        _expect_digest(digest)
        async with _emptied_on_failure(into):
            await self._do("fetch", progress, digest=digest, into=into, settle=self._settle)

    async def verify(self, digest: str, progress: Progress) -> bool:
        """Whether the stored file is what its name says: every byte is read. ImageMissing: there is none."""
        _expect_digest(digest)
        return bool(await self._do("verify", progress, digest=digest, settle=self._settle))

    async def images(self) -> dict[str, Stored]:
        found = await self._do("images", _unheard)
        return {digest: Stored(*about) for digest, about in found.items() if DIGEST.fullmatch(digest)}

    async def remove(self, digest: str, older_than: float = 0) -> bool:
        """Remove an image, unless somebody published it in the last ``older_than`` seconds. Whether that was done."""
        _expect_digest(digest)
        return bool(await self._do("remove", _unheard, digest=digest, older_than=older_than))

    async def marker(self) -> str | None:
        """Whose the store is: the id of an installation's books. None: nobody marked it."""
        marker = await self._do("marker", _unheard)
        return None if marker is None else str(marker)

    async def mark(self, owner: str) -> None:
        """Say whose the store is, in place of what was said before."""
        await self._do("mark", _unheard, owner=owner)

    async def sweep(self, older_than: float) -> int:
        """Remove what killed writers left, once nobody has written to it for so many seconds. How many files."""
        return int(await self._do("sweep", _unheard, older_than=older_than))

    @asynccontextmanager
    async def appending(self, image_id: int, start: int) -> AsyncIterator[Appender]:
        """A new segment of an upload; its first byte is the upload's ``start``-th. StoreBusy: too many are written."""
        name = name_of(start)
        async with self._writers.start("append", **self._where, image_id=image_id, name=name) as child:
            await child.line()  # it is there
            yield Appender(name, child)

    async def collect(self, image_id: int, segments: Sequence[Segment], into: Path, progress: Progress) -> str:
        """Join an upload's segments, in this order, in the local file ``into``; the sha256 (hex) of it.

        ImageMissing, ImageDamaged: not all that was acknowledged is there. OSError: of ``into``.
        """
        pieces = [astuple(segment) for segment in segments]
        told = {"image_id": image_id, "pieces": pieces, "into": into, "settle": self._settle}
        return str(await self._do("collect", progress, **told))

    async def uploads(self) -> dict[int, float]:
        """By image id: seconds since anybody wrote to the upload."""
        found = await self._do("uploads", _unheard)
        return {int(image_id): quiet for image_id, quiet in found.items()}

    async def discard(self, image_id: int) -> None:
        """Remove an upload's segments."""
        await self._do("discard", _unheard, image_id=image_id)

    async def _do(self, verb: str, progress: Progress, **arguments: Any) -> Any:
        async with _speaking(progress) as spoken, self._children.start(verb, **self._where, **arguments) as child:
            while "done" not in (said := await child.line()):
                spoken.at = said["at"]
            return said["done"]


class Appender:
    """A segment that is being written. After any StoreError it is of no more use: ask the books, begin another."""

    def __init__(self, name: str, child: Child) -> None:
        self.name = name
        self._child = child
        self._broken = False

    async def write(self, content: bytes) -> None:
        """Returns when the store has taken nearly all of it: who sends too fast is slowed down."""
        with self._whole():
            for at in range(0, len(content), PIECE):
                piece = content[at : at + PIECE]
                await self._child.feed(len(piece).to_bytes(FRAME, "big") + piece)

    async def sync(self) -> int:
        """The bytes of this segment that will survive: everything written before."""
        with self._whole():
            await self._child.feed(bytes(FRAME))
            return int((await self._child.line())["synced"])

    @contextmanager
    def _whole(self) -> Iterator[None]:
        if self._broken:
            raise StoreAway("this part of the upload was broken off")
        try:
            yield
        except BaseException:
            self._broken = True  # a cancelled one too: half a piece may be on its way
            raise


@asynccontextmanager
async def _speaking(progress: Progress) -> AsyncIterator[_Spoken]:
    spoken = _Spoken()

    async def speak() -> None:
        while True:
            progress(spoken.at)
            await asyncio.sleep(BREATH)

    speaking = asyncio.create_task(speak())
    try:
        yield spoken
        progress(spoken.at)
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


@asynccontextmanager
async def _emptied_on_failure(directory: Path) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await run(None, partial(_empty, directory))
        raise


def _empty(directory: Path) -> None:
    for name in FILES:
        (directory / name).unlink(missing_ok=True)


def _expect_digest(digest: str) -> None:
    if not DIGEST.fullmatch(digest):
        raise ImageMissing(f"{digest!r} is no sha256")


def _unheard(_: int) -> None:
    return None
