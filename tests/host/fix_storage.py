"""Storage of a host's kind, small: an XFS in a file, and a raw disk like that of a guest image."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from infra.domain.models import Image
from infra.domain.partitions import Partition, read_table
from infra.drivers.image_room import BOOT_FILES, REST, ImageRoom
from infra.drivers.images import CachedImages
from infra.drivers.layout import GIB, HostLayout
from infra.drivers.reflink import clone_range
from infra.drivers.store.mount import ImageStore
from infra.drivers.xfs import HostStorage
from tests.host.fix_host import IMAGE

MIB = 2**20
SECTOR = 512
# As our guests have it: the root partition has a low number and lies last.
GPT = "label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096, type=linux\n"
MBR = "label: dos\nstart=2048, type=83\n"


@dataclass(frozen=True)
class StoredImage:
    """An image in the cache of a host."""

    layout: HostLayout
    image: Image

    @property
    def disk(self) -> Path:
        return self.layout.image(self.image.digest) / "disk.raw"


@pytest.fixture(scope="module")
def storage(private_network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostStorage]:
    yield from storage_of(tmp_path_factory.mktemp("storage"), 32)


def storage_of(directory: Path, size_gib: int) -> Iterator[HostStorage]:
    storage = HostStorage(directory / "mount", directory / "backing.xfs", size_gib)
    storage.open()
    yield storage
    storage.close()


@pytest.fixture
def layout(storage: HostStorage, tmp_path: Path) -> HostLayout:
    layout = HostLayout(storage.directory / tmp_path.name, tmp_path)
    layout.prepare()
    return layout


@pytest.fixture
def stored(layout: HostLayout, tmp_path: Path) -> StoredImage:
    return store_image(layout, raw_disk(tmp_path / "image.raw", GPT))


@dataclass(frozen=True)
class Cache:
    """An image cache, and the store that it fetches from."""

    layout: HostLayout
    store: ImageStore
    at: Path
    """The store's directory."""
    room: ImageRoom
    images: CachedImages

    def again(self, **changes: Any) -> Cache:
        """The same as another worker would see it. ``changes``: `limit`, `rest` and `spare` of the room, or `patience`
        of the store."""
        store = ImageStore(self.at, changes.get("patience", 60), settle=0)
        rest, spare = changes.get("rest", REST), changes.get("spare", 0.0)
        room = ImageRoom(self.layout, changes.get("limit", self.room.limit), rest, spare)
        return replace(self, store=store, room=room, images=CachedImages(self.layout, store, room))

    async def publish(self, name: str, mib: int = 4, kernel: bool = False) -> Image:
        """An image of ``mib`` MiB that nobody has seen before, on a disk without partitions."""
        with TemporaryDirectory(dir=self.at.parent) as scratch:
            (Path(scratch) / "disk.raw").write_bytes(os.urandom(mib * MIB))
            for file in BOOT_FILES if kernel else ():
                (Path(scratch) / file).write_text(f"the {file}")
            published = await self.store.publish(Path(scratch), unheard)
        return replace(IMAGE, name=name, digest=published.digest)

    def cached(self) -> set[str]:
        return {path.name for path in (self.layout.root / "images").iterdir()}

    def stored(self, image: Image) -> Path:
        return self.at / "images" / f"{image.digest}.tar"

    @contextmanager
    def stalled(self, image: Image) -> Iterator[None]:
        """Whoever opens the image in the store waits for ever."""
        stored = self.stored(image)
        stored.rename(aside := stored.with_suffix(".aside"))
        os.mkfifo(stored)
        try:
            yield
        finally:
            aside.replace(stored)


def unheard(_: int) -> None: ...


@pytest.fixture
def cache(layout: HostLayout, tmp_path: Path) -> Cache:
    store, room = ImageStore(tmp_path / "store", settle=0), ImageRoom(layout, 64 * GIB)
    return Cache(layout, store, tmp_path / "store", room, CachedImages(layout, store, room))


def store_image(layout: HostLayout, disk: Path) -> StoredImage:
    with disk.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    cached = layout.image(digest)
    cached.mkdir()
    subprocess.run(("cp", "--sparse=always", str(disk), str(cached / "disk.raw")), check=True)
    return StoredImage(layout, replace(IMAGE, digest=digest))


def raw_disk(path: Path, table: str | None, kind: str | None = "ext4", size: int = 64 * MIB) -> Path:
    """A disk with the partitions ``table`` describes, and a file system of ``kind`` with a file in the last one."""
    with path.open("wb") as file:
        file.truncate(size)
    if table is not None:
        sfdisk = ("sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(path))
        subprocess.run(sfdisk, input=table, text=True, check=True)
    if kind is not None:
        last = last_partition(path)
        assert last is not None
        content = path.with_suffix(".content")
        content.mkdir(exist_ok=True)
        (content / "hello").write_text("world\n")
        alone = path.with_suffix(".alone")
        with alone.open("wb") as file:
            file.truncate(last.sectors * SECTOR)
        subprocess.run((f"mkfs.{kind}", "-q", "-d", str(content), str(alone)), check=True)
        with alone.open("rb") as file, path.open("r+b") as whole:
            clone_range(file.fileno(), 0, last.sectors * SECTOR, whole.fileno(), last.start * SECTOR)
        alone.unlink()
    return path


def taken_out(disk: Path) -> Path:
    """The last partition in a file of its own beside the disk."""
    last, alone = last_partition(disk), disk.with_suffix(".alone")
    assert last is not None
    with disk.open("rb") as whole, alone.open("wb") as file:
        clone_range(whole.fileno(), last.start * SECTOR, last.sectors * SECTOR, file.fileno(), 0)
        file.truncate(last.sectors * SECTOR)
    return alone


def loops() -> str:
    """The loop devices in use, with what is behind them."""
    return subprocess.run(("losetup", "--list", "--noheadings"), check=True, capture_output=True, text=True).stdout


def last_partition(disk: Path) -> Partition | None:
    """The one that ends last; None without a partition table."""
    with disk.open("rb", buffering=0) as file:
        table = read_table(lambda offset, length: os.pread(file.fileno(), length, offset), disk.stat().st_size)
    return None if table is None else table.last
