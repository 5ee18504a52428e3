"""The XFS of a host, and the images and seeds on it: there again after a crash, gone when closed, never half."""

from __future__ import annotations

import asyncio
import errno
import shutil
import stat
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

import pytest
from pycdlib import PyCdlib

from infra.domain.errors import HostFull, ImageDoubtful
from infra.domain.seed import Seed
from infra.drivers.image_room import ImageRoom
from infra.drivers.images import CachedImages
from infra.drivers.layout import HostLayout
from infra.drivers.reflink import can_clone
from infra.drivers.seeds import IsoSeeds
from infra.drivers.store.mount import ImageStore
from infra.drivers.store.pack import FILES
from infra.drivers.xfs import GIB, HostStorage
from tests.host.fix_host import IMAGE
from tests.host.fix_storage import GPT, MIB, StoredImage, loops, raw_disk

BOOT_FILES = FILES[1:]

pytestmark = pytest.mark.usefixtures("private_network")  # these need root as much


def storage_in(directory: Path, size_gib: int = 1) -> HostStorage:
    return HostStorage(directory / "mount", directory / "backing.xfs", size_gib)


def test_storage_can_clone_and_is_gone_when_closed(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    storage.open()
    assert can_clone(storage.directory)
    assert str(storage.backing) in loops()
    (storage.directory / "kept").write_text("kept")
    for _ in range(2):
        storage.close()
    assert str(tmp_path) not in loops()
    assert not list(storage.directory.iterdir())
    storage.open()
    assert (storage.directory / "kept").read_text() == "kept"
    storage.close()


def test_what_a_killed_predecessor_mounted_is_taken_up_and_closed(tmp_path: Path) -> None:
    storage_in(tmp_path).open()
    (tmp_path / "mount/kept").write_text("kept")
    successor = storage_in(tmp_path)
    successor.open()
    assert (successor.directory / "kept").read_text() == "kept"
    assert subprocess.check_output(("findmnt", "-no", "TARGET", str(successor.directory)), text=True).count("\n") == 1
    successor.close()
    assert str(tmp_path) not in loops()


def test_a_file_system_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    storage.backing.with_name("backing.xfs.new").write_bytes(b"half")
    storage.open()
    storage.close()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["backing.xfs"]


def test_storage_grows_with_its_setting(tmp_path: Path) -> None:
    for size_gib in (1, 3, 2):
        storage = storage_in(tmp_path, size_gib)
        storage.open()
        total = shutil.disk_usage(storage.directory).total
        storage.close()
    assert 2.9 * GIB < total < 3 * GIB


def test_a_directory_that_can_clone_is_taken_as_it_is(storage: HostStorage) -> None:
    inner = storage_in(storage.directory)
    inner.open()
    inner.close()
    assert not inner.backing.exists()
    assert can_clone(storage.directory)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An image as a builder leaves it."""
    directory = tmp_path / "built"
    directory.mkdir()
    raw_disk(directory / "disk.raw", GPT)
    for name in BOOT_FILES:
        (directory / name).write_text(f"the {name}")
    return directory


@pytest.fixture
def images_at(layout: HostLayout, tmp_path: Path) -> tuple[CachedImages, ImageStore]:
    store = ImageStore(tmp_path / "store", settle=0)
    return CachedImages(layout, store, ImageRoom(layout, 64 * GIB)), store


async def test_an_image_is_cached_with_its_kernel(
    images_at: tuple[CachedImages, ImageStore], layout: HostLayout, source: Path
) -> None:
    images, store = images_at
    digest = (await store.publish(source, lambda _: None)).digest
    await images.ensure(replace(IMAGE, digest=digest), lambda _: None)
    cached = layout.image(digest)
    for name in ("disk.raw", *BOOT_FILES):
        assert (cached / name).read_bytes() == (source / name).read_bytes()
    assert stat.S_IMODE((cached / "vmlinux").stat().st_mode) == 0o644  # QEMU's user reads it
    assert not list(layout.tmp.iterdir())


async def test_a_damaged_image_is_not_cached(
    images_at: tuple[CachedImages, ImageStore], layout: HostLayout, source: Path, tmp_path: Path
) -> None:
    images, store = images_at
    digest = (await store.publish(source, lambda _: None)).digest
    with (tmp_path / f"store/images/{digest}.tar").open("r+b") as stored:
        stored.seek(MIB)
        stored.write(b"flipped")
    with pytest.raises(ImageDoubtful, match="damaged"):
        await images.ensure(replace(IMAGE, digest=digest), lambda _: None)
    assert not list(layout.tmp.iterdir())
    assert not layout.image(digest).exists()


async def test_an_image_is_fetched_once_and_for_those_who_stay(
    images_at: tuple[CachedImages, ImageStore], source: Path
) -> None:
    images, store = images_at
    digest = (await store.publish(source, lambda _: None)).digest
    image, told = replace(IMAGE, digest=digest), list[int]()
    with patch.object(store, "fetch", side_effect=store.fetch) as fetching:
        first = asyncio.create_task(images.ensure(image, lambda _: None))
        others = [asyncio.create_task(images.ensure(image, told.append)) for _ in range(3)]
        await asyncio.sleep(0.005)
        first.cancel()
        await asyncio.gather(*others)
    assert fetching.call_count == 1
    assert told


async def test_no_room_for_an_image(
    images_at: tuple[CachedImages, ImageStore], layout: HostLayout, source: Path
) -> None:
    images, store = images_at
    digest = (await store.publish(source, lambda _: None)).digest
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch.object(store, "fetch", side_effect=full), pytest.raises(HostFull):
        await images.ensure(replace(IMAGE, digest=digest), lambda _: None)
    assert not list(layout.tmp.iterdir())


SEED = Seed("instance-id: i-5\n", "#!/bin/sh\necho hallo\n" * 1000, "", '{"version": 2}\n')


def read(volume: Path, names: str) -> dict[str, bytes]:
    """The files of a volume, by the names that ``names`` gives them: ``joliet`` or ``rr`` (Rock Ridge)."""
    iso, files = PyCdlib(), {}
    iso.open(str(volume))
    for name in SEED.files:
        content = BytesIO()
        iso.get_file_from_iso_fp(content, **{f"{names}_path": f"/{name}"})
        files[name] = content.getvalue()
    iso.close()
    return files


async def test_a_seed_is_read_back_as_it_was_written(layout: HostLayout) -> None:
    await IsoSeeds(layout).write(5, SEED)
    assert read(layout.seed(5), "joliet") == read(layout.seed(5), "rr") == SEED.files
    shown = await asyncio.to_thread(subprocess.check_output, ("blkid", "-o", "value", "-s", "LABEL", layout.seed(5)))
    assert shown.strip() == b"cidata"


async def test_a_seed_is_read_by_nobody_else(layout: HostLayout) -> None:
    await IsoSeeds(layout).write(5, SEED)
    assert stat.S_IMODE(layout.seed(5).stat().st_mode) & 0o007 == 0


async def test_a_seed_is_replaced_held_and_removed(layout: HostLayout) -> None:
    seeds = IsoSeeds(layout)
    await asyncio.gather(*(seeds.write(5, replace(SEED, meta_data=f"{number}\n")) for number in range(5)))
    await seeds.write(5, SEED)
    await seeds.write(6, SEED)
    assert await seeds.held() == {5, 6}
    assert read(layout.seed(5), "rr") == SEED.files
    for _ in range(2):
        await seeds.remove(5)
    assert await seeds.held() == {6}


def test_the_machine_is_made_of_what_its_image_brings(stored: StoredImage) -> None:
    from tests.host.fix_host import machine_of

    machine = machine_of(5, stored.image)
    assert stored.layout.machine_files(machine).kernel is None
    for name in BOOT_FILES:
        (stored.disk.parent / name).write_text("quiet\n")
    files = stored.layout.machine_files(machine)
    assert (files.kernel, files.cmdline) == (stored.disk.parent / "vmlinux", "quiet")


def test_a_run_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long"):
        HostLayout(tmp_path, tmp_path / ("x" * 100)).prepare()


def test_storage_promises_no_more_than_there_is_below_it(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    storage = storage_in(tmp_path, size_gib=free // GIB + 100)
    storage.open()
    assert shutil.disk_usage(storage.directory).total <= free
    storage.close()
