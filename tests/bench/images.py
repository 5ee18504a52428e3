"""The image step by itself, on an XFS and with a store of its own: cached, cloned, grown, and used for the first time.

Beside `qemu-img convert` of the same image and `dd` of the same stored file, by turns, so that the machine's noise hits
both. The stored file's pages are dropped before each reading of it: it comes from the disk, which the local copy goes
to. Once as fast as that disk is, and once as slow as a store that is replicated over a network.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from infra.domain.models import Image
from infra.drivers.disks import ClonedDisks
from infra.drivers.image_room import ImageRoom
from infra.drivers.images import CachedImages
from infra.drivers.layout import GIB, HostLayout
from infra.drivers.store.mount import ImageStore
from infra.drivers.xfs import HostStorage
from tests.bench import machine
from tests.bench.figures import Summary, summary, timed
from tests.bench.slow_reads import slow_reads

MIB = 2**20
FILE = 100_000  # bytes of each file in the guest: as many files as a small distribution has
AT_ONCE = 20
SLOW = 300_000_000  # bytes a second: what replicated stores were read at (reference figures: 190 to 510 MB/s)
ROOM_GIB = 200  # sparse
GPT = (
    "label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096, type=linux\n"  # as ours
)


@dataclass(frozen=True, slots=True)
class FirstUse:
    """Milliseconds, by turns. ``dd``: the stored file to nowhere; ``copy``: to the cache's storage, synced."""

    ours: Summary
    dd: Summary
    copy: Summary


@dataclass(frozen=True, slots=True)
class ImageStep:
    """Milliseconds. ``first_size``, ``seen``: of an image that is cached, its check in the cache included. ``at_once``:
    until the last of them had its disk; ``fetches``: how often they had the store read. ``slow`` None: this machine
    cannot slow its disk down."""

    load: tuple[float, float]
    data_mib: int
    first_size: Summary
    seen: Summary
    convert: Summary
    fast: FirstUse
    slow: FirstUse | None
    at_once: float
    fetches: int


async def measure(state: Path, data_mib: int, samples: int, mount: Path | None = None) -> ImageStep | None:
    """``mount``: of a replicated store, which is then measured instead of this disk and of this disk slowed down.
    None: not root, so there is no XFS to be had."""
    if os.geteuid() != 0:
        return None
    before = machine.load()
    async with _ground(state, data_mib, mount or state / "store") as ground:
        fast = await ground.first_uses(max(2, samples // 4))
        with slow_reads(state, SLOW) as are_slow:
            slow = await ground.first_uses(max(2, samples // 4)) if are_slow and mount is None else None
        at_once, fetches = await ground.crowd()
        convert, first_size = await ground.first_sizes(samples)
        seen = summary([(await timed(ground.create))[0] for _ in range(2 * samples)])
    load = (before, machine.load())
    return ImageStep(load, data_mib, first_size, seen, convert, fast, slow, round(at_once, 1), fetches)


@dataclass
class Ground:
    """A host's storage, an image in the store, and the same as a qcow2."""

    image: Image
    stored: Path
    qcow2: Path
    layout: HostLayout
    store: ImageStore
    room: ImageRoom
    images: CachedImages
    disks: ClonedDisks
    servers: Iterator[int]

    async def create(self, size_gib: int = 10) -> None:
        await self.images.ensure(self.image, lambda _: None)
        await self.disks.create(next(self.servers), self.image, size_gib)

    async def first_uses(self, samples: int) -> FirstUse:
        target, ours, dd, copy = self.layout.tmp / "copy", list[float](), list[float](), list[float]()
        read = ("dd", f"if={self.stored}", "bs=4M", "status=none")
        for _ in range(samples):
            self.forget()
            dd.append(await self._timed(lambda: _run(*read, "of=/dev/null")))
            copy.append(await self._timed(lambda: _run(*read, f"of={target}", "conv=fsync")))
            target.unlink()
            ours.append(await self._timed(lambda: self.images.ensure(self.image, lambda _: None)))
        return FirstUse(summary(ours), summary(dd), summary(copy))

    async def crowd(self) -> tuple[float, int]:
        self.forget()
        with patch.object(self.store, "fetch", side_effect=self.store.fetch) as fetching:
            took = await self._timed(lambda: asyncio.gather(*(self.create() for _ in range(AT_ONCE))))
        return took, fetching.call_count

    async def first_sizes(self, samples: int) -> tuple[Summary, Summary]:
        """`qemu-img convert`, and clone and grow."""
        convert, first_size, target = list[float](), list[float](), self.layout.tmp / "converted"
        for size_gib in range(20, 20 + samples):
            command = ("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(self.qcow2), str(target))
            convert.append((await timed(lambda words=command: _run(*words)))[0])  # type: ignore[misc]
            target.unlink()
            first_size.append((await timed(lambda size=size_gib: self.create(size)))[0])  # type: ignore[misc]
        return summary(convert), summary(first_size)

    def forget(self) -> None:
        """As on a host that never saw the image."""
        self.room.clear()

    async def _timed(self, work: Callable[[], Awaitable[object]]) -> float:
        """From a stored file that is not in memory, on a disk that has nothing else to write."""
        await asyncio.to_thread(os.sync)
        file = os.open(self.stored, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
        return (await timed(work))[0]


@asynccontextmanager
async def _ground(state: Path, data_mib: int, mount: Path) -> AsyncIterator[Ground]:
    with _storage(state) as root, TemporaryDirectory(prefix="puchify-") as run:  # short: sockets are in there
        layout = HostLayout(root, Path(run))
        layout.prepare()
        store, room = ImageStore(mount, settle=0), ImageRoom(layout, ROOM_GIB * GIB, rest=0)
        built, qcow2 = state / "built", root / "image.qcow2"
        await asyncio.to_thread(_make_disk, built, data_mib)
        await _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(built / "disk.raw"), str(qcow2))
        published = await store.publish(built, lambda _: None)
        shutil.rmtree(built)
        image = Image(1, "bench", published.digest, "x86", 1, has_agent=True)
        ground = Ground(
            image,
            mount / "images" / f"{published.digest}.tar",
            qcow2,
            layout,
            store,
            room,
            CachedImages(layout, store, room),
            ClonedDisks(layout),
            itertools.count(1),
        )
        try:
            yield ground
        finally:
            await store.remove(published.digest)


@contextmanager
def _storage(state: Path) -> Iterator[Path]:
    storage = HostStorage(state / "images-mount", state / "images.xfs", ROOM_GIB)
    storage.open()
    try:
        yield storage.directory
    finally:
        storage.close()


def _make_disk(built: Path, data_mib: int) -> None:
    """A disk of two partitions as ours, its ext4 full of files that cannot be compressed."""
    content, disk, alone = built / "content", built / "disk.raw", built / "alone"
    content.mkdir(parents=True)
    chance = random.Random(7)
    for number in range(data_mib * MIB // FILE):
        directory = content / str(number % 100)
        directory.mkdir(exist_ok=True)
        (directory / str(number)).write_bytes(chance.randbytes(FILE))
    size = (data_mib * 5 // 4 + 128) * MIB
    for path, length in ((disk, size), (alone, size - 3 * MIB)):
        with path.open("wb") as file:
            file.truncate(length)
    subprocess.run(("sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(disk)), input=GPT, text=True, check=True)
    subprocess.run(("mkfs.ext4", "-q", "-d", str(content), str(alone)), check=True)
    copy = ("dd", f"if={alone}", f"of={disk}", "bs=1M", "seek=2", "conv=notrunc,sparse", "status=none")
    subprocess.run(copy, check=True)
    shutil.rmtree(content)
    alone.unlink()


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv)
    if await process.wait() != 0:
        raise RuntimeError(f"`{' '.join(argv)}` failed")
