"""One disk a server: a clone of its image, grown to the plan.

Growing takes a quarter of a second, cloning milliseconds. So what is grown is a clone that stays, one per image and
size (``grown/``), and a server's disk is a clone of that. Both appear by rename: a name means finished.

No sync for a server's disk: its blocks are those of the grown one, which is safe on disk, and XFS writes the clone
and the rename to its log in that order. After a power cut there is a finished disk, or none.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from infra.domain.errors import HostFull, HostUnavailable, ImageUnusable
from infra.domain.models import Image
from infra.domain.partitions import CannotGrow
from infra.drivers.durable import sync
from infra.drivers.grow import GrowError, grow
from infra.drivers.image_locks import ImageLocks
from infra.drivers.image_room import note_origin
from infra.drivers.layout import GIB, HostLayout, offered_gib, servers_in
from infra.drivers.reflink import clone
from infra.drivers.threads import KeyedLocks, SingleFlight, run

NEARLY_FULL = 32 * 2**20  # bytes free: a tool that failed then, failed for lack of room


class ClonedDisks:
    """Disks in ``layout``, whose images are in its cache."""

    def __init__(self, layout: HostLayout) -> None:
        self._layout = layout
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="disks")
        self._locks = KeyedLocks[int]()
        self._growing = SingleFlight[Path, None]()
        self._images = ImageLocks(layout.locks)

    async def create(self, server_id: int, image: Image, size_gib: int) -> None:
        disk = self._layout.disk(server_id)
        async with self._locks.hold(server_id), self._images.hold(image.digest, alone=False):
            if await run(self._threads, disk.exists):
                return
            await self.prepare(image, size_gib)
            await run(self._threads, partial(self._clone, image, self._layout.grown(image.digest, size_gib), disk))

    async def prepare(self, image: Image, size_gib: int) -> None:
        """Have the image ready in this size, so that the next `create` is a mere clone."""
        grown = self._layout.grown(image.digest, size_gib)
        if not await run(self._threads, grown.exists):
            await self._growing.do(grown, partial(self._grow_alone, image, grown, size_gib * GIB))

    async def remove(self, server_id: int) -> None:
        disk = self._layout.disk(server_id)
        async with self._locks.hold(server_id):
            await run(self._threads, partial(_remove, disk, self._layout.unfinished(disk)))

    async def held(self) -> set[int]:
        return await run(self._threads, self._held)

    async def _grow_alone(self, image: Image, grown: Path, size: int) -> None:
        """While the image stays, and no other process of the host does the same."""
        async with self._images.hold(image.digest, alone=False), self._images.hold(grown.name, alone=True):
            await run(self._threads, partial(self._grow, image, grown, size))

    def _clone(self, image: Image, source: Path, disk: Path) -> None:
        unfinished = self._layout.unfinished(disk)
        with storage_errors():
            os.utime(self._layout.image(image.digest))
            clone(source, unfinished)
            note_origin(unfinished, image.digest)
            unfinished.rename(disk)

    def _grow(self, image: Image, grown: Path, size: int) -> None:
        if grown.exists():
            return  # by the flight that landed while we were looking
        source, unfinished = self._layout.image(image.digest) / "disk.raw", self._layout.unfinished(grown)
        if size > offered_gib(self._layout.root) * GIB:
            raise HostFull("there is no room for a disk of that size")
        with storage_errors():
            if size < source.stat().st_size:
                raise ImageUnusable(f"the image {image.name!r} does not fit on a disk of {size // GIB} GB")
            try:
                clone(source, unfinished)
                grow(unfinished, size)
                sync(unfinished)
                unfinished.rename(grown)
            except CannotGrow as error:
                room = size // GIB
                raise ImageUnusable(f"the image {image.name!r} cannot be enlarged to {room} GB: {error}") from error
            except GrowError as error:
                if shutil.disk_usage(self._layout.root).free < NEARLY_FULL:
                    raise HostFull("there is no room left for the server's disk") from error
                raise ImageUnusable(f"the file system of the image {image.name!r} cannot be enlarged") from error
            finally:
                unfinished.unlink(missing_ok=True)

    def _held(self) -> set[int]:
        return {*servers_in(self._layout.root / "disks"), *servers_in(self._layout.tmp, "disks-")}


def _remove(*paths: Path) -> None:
    with storage_errors():
        for path in paths:
            path.unlink(missing_ok=True)


@contextmanager
def storage_errors() -> Iterator[None]:
    """What the file system says, in the words of a host."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostFull("there is no room left for the server's disk") from error
        raise HostUnavailable("the server's disk could not be prepared") from error
