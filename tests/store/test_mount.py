"""The store on its mount: what is published is read back right, and nothing that the mount does reaches the worker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.drivers.store.errors import ImageDamaged, ImageMissing, StoreAway, StoreFull
from infra.drivers.store.mount import ImageStore
from tests.store.disks import MIB, sparse_disk
from tests.store.processes import children, thaw, until

UNKNOWN = "0" * 64
QUICKLY = 30.0
"""Seconds in which a test is through that would hang for ever, or for the default patience, if it went wrong."""


def unheard(_: int) -> None:
    return None


def stored(path: Path, digest: str) -> Path:
    return path / "images" / f"{digest}.tar"


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def spoil(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(MIB)
        content.write(b"flipped")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (into := tmp_path / "into").mkdir()
    return into


async def test_what_was_published_is_fetched(store: ImageStore, path: Path, source: Path, into: Path) -> None:
    published = await store.publish(source, unheard)
    file = stored(path, published.digest)
    assert published.size == file.stat().st_size < 3 * MIB
    assert hashlib.sha256(file.read_bytes()).hexdigest() == published.digest
    await store.fetch(published.digest, into, unheard)
    assert contents(into) == contents(source)
    assert (into / "disk.raw").stat().st_blocks * 512 < 3 * MIB


async def test_a_good_copy_stays_and_a_bad_one_is_replaced(store: ImageStore, path: Path, source: Path) -> None:
    digest = (await store.publish(source, unheard)).digest
    file = stored(path, digest)
    first = file.stat().st_ino
    assert (await store.publish(source, unheard)).digest == digest
    assert file.stat().st_ino == first
    spoil(file)
    assert not await store.verify(digest, unheard)
    assert (await store.publish(source, unheard)).digest == digest
    assert file.stat().st_ino != first
    assert await store.verify(digest, unheard)
    assert os.listdir(path / "images") == [file.name]


async def test_eight_publish_the_same(path: Path, source: Path) -> None:
    stores = [ImageStore(path, children=2, settle=0) for _ in range(4)]
    published = await asyncio.gather(*(stores[number % 4].publish(source, unheard) for number in range(8)))
    assert len({one.digest for one in published}) == 1
    assert os.listdir(path / "images") == [f"{published[0].digest}.tar"]


async def test_a_damaged_image_is_not_fetched(store: ImageStore, path: Path, source: Path, into: Path) -> None:
    digest = (await store.publish(source, unheard)).digest
    spoil(stored(path, digest))
    with pytest.raises(ImageDamaged, match=digest):
        await store.fetch(digest, into, unheard)
    assert not os.listdir(into)


async def test_a_file_that_is_not_seen_whole_yet_is_read_once_more(
    store: ImageStore, path: Path, source: Path, into: Path
) -> None:
    digest = (await store.publish(source, unheard)).digest
    whole = stored(path, digest).read_bytes()
    os.truncate(stored(path, digest), MIB)
    os.rename(stored(path, digest), path / "short")
    fetching = asyncio.create_task(ImageStore(path, settle=15).fetch(digest, into, unheard))
    await asyncio.sleep(0.5)
    os.rename(path / "short", stored(path, digest))
    await until(lambda: os.listdir(into))
    (path / "whole").write_bytes(whole)
    os.rename(path / "whole", stored(path, digest))
    await asyncio.wait_for(fetching, QUICKLY)
    assert contents(into) == contents(source)


@pytest.mark.parametrize("digest", [UNKNOWN, "../../etc/passwd", "", "x"])
async def test_what_is_not_there(store: ImageStore, into: Path, digest: str) -> None:
    for asked in (store.fetch(digest, into, unheard), store.verify(digest, unheard)):
        with pytest.raises(ImageMissing):
            await asked
    assert await store.images() == {}


async def test_an_image_that_another_host_just_published_is_waited_for(
    store: ImageStore, path: Path, source: Path, into: Path
) -> None:
    digest = (await store.publish(source, unheard)).digest
    stored(path, digest).rename(path / "not seen yet")
    fetching = asyncio.create_task(ImageStore(path, settle=15).fetch(digest, into, unheard))
    await asyncio.sleep(0.5)
    (path / "not seen yet").rename(stored(path, digest))
    await asyncio.wait_for(fetching, QUICKLY)
    assert contents(into) == contents(source)


async def test_images_are_listed_and_removed(store: ImageStore, source: Path) -> None:
    published = await store.publish(source, unheard)
    found = await store.images()
    assert found[published.digest].size == published.size
    assert 0 <= found[published.digest].age < 60
    for _ in range(2):
        await store.remove(published.digest)
    assert await store.images() == {}


async def test_thousands_of_images_are_listed(store: ImageStore, path: Path) -> None:
    (path / "images").mkdir(parents=True)
    for number in range(2000):
        (path / f"images/{number:064x}.tar").touch()
    (path / "images/README.tar").touch()
    assert len(await store.images()) == 2000


async def test_what_killed_writers_left_is_swept_once_it_is_old(store: ImageStore, path: Path, source: Path) -> None:
    await store.publish(source, unheard)
    for name, age in ((".tmp-old", 100), (".tmp-young", 1)):
        (path / "images" / name).write_text("half")
        os.utime(path / "images" / name, (time.time() - age,) * 2)
    assert await store.sweep(50) == 1
    assert sorted(os.listdir(path / "images"))[0] == ".tmp-young"
    assert len(await store.images()) == 1


async def test_a_full_store_says_so_and_keeps_nothing(tiny_mount: Path, source: Path) -> None:
    with pytest.raises(StoreFull):
        await ImageStore(tiny_mount, settle=0).publish(source, unheard)
    assert not list((tiny_mount / "images").iterdir())


async def test_a_full_disk_of_the_host_is_not_the_stores_fault(
    store: ImageStore, tiny_mount: Path, source: Path
) -> None:
    digest = (await store.publish(source, unheard)).digest
    with pytest.raises(OSError, match="No space left"):
        await store.fetch(digest, tiny_mount, unheard)
    assert not os.listdir(tiny_mount)


async def test_a_store_that_is_read_only_is_read(store: ImageStore, path: Path, source: Path, into: Path) -> None:
    digest = (await store.publish(source, unheard)).digest
    with read_only(path):
        await store.fetch(digest, into, unheard)
        with pytest.raises(StoreAway, match="Read-only"):
            await store.publish(source, unheard)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    subprocess.run(("mount", "--bind", "-o", "ro", str(path), str(path)), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", str(path)), check=True)


@pytest.fixture
def stalled(path: Path) -> Path:
    """A store whose one file hangs whoever opens it."""
    stored(path, UNKNOWN).parent.mkdir(parents=True)
    os.mkfifo(stored(path, UNKNOWN))
    return path


async def test_a_stalled_mount_is_given_up(stalled: Path, into: Path) -> None:
    heard = list[int]()
    begun = time.monotonic()
    with pytest.raises(StoreAway, match="not answered"):
        await ImageStore(stalled, patience=2, settle=0).fetch(UNKNOWN, into, heard.append)
    assert 2 <= time.monotonic() - begun < 2 + QUICKLY
    assert len(heard) >= 2  # and meanwhile the step was known to be alive
    assert not children()


async def test_who_is_cancelled_leaves_nothing(stalled: Path, into: Path) -> None:
    fetching = asyncio.create_task(ImageStore(stalled, settle=0).fetch(UNKNOWN, into, unheard))
    await until(children)
    (into / "disk.raw").write_text("half")
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert not children()
    assert not os.listdir(into)


async def test_a_child_that_was_killed_is_noticed_at_once(stalled: Path, into: Path) -> None:
    fetching = asyncio.create_task(ImageStore(stalled, settle=0).fetch(UNKNOWN, into, unheard))
    await until(children)
    os.kill(children()[0], 9)
    with pytest.raises(StoreAway, match="died"):
        await asyncio.wait_for(fetching, QUICKLY)


async def test_a_child_that_cannot_be_killed_is_left_alone(
    frozen_mount: Path, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps its place: who comes next is told at once, and is served again when the mount has come back."""
    store = ImageStore(frozen_mount, patience=0.5, children=1, settle=0)
    begun = time.monotonic()
    with pytest.raises(StoreAway, match="not answered"):
        await store.publish(source, unheard)
    assert time.monotonic() - begun < QUICKLY
    assert "cannot be ended" in caplog.text
    with pytest.raises(StoreAway, match="hangs"):
        await store.images()
    assert len(children()) == 1
    thaw(frozen_mount)
    await until(lambda: not children())
    patient = ImageStore(frozen_mount, settle=0)
    assert (await patient.publish(source, unheard)).digest in await patient.images()


async def test_who_waits_for_a_place_gets_it(path: Path, source: Path) -> None:
    store = ImageStore(path, children=1, settle=0)
    await asyncio.gather(*(store.publish(source, unheard) for _ in range(3)))
    assert len(await store.images()) == 1


async def test_the_event_loop_runs_on_while_much_is_read(path: Path, tmp_path: Path, into: Path) -> None:
    (big := tmp_path / "big").mkdir()
    sparse_disk(big / "disk.raw", 200 * MIB, [(at * MIB, MIB) for at in range(0, 200, 4)])
    store, late = ImageStore(path, settle=0), 0.0
    fetching = asyncio.create_task(_and_back(store, big, into))
    while not fetching.done():
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        late = max(late, time.monotonic() - due)
    await fetching
    assert late < 0.5


async def _and_back(store: ImageStore, source: Path, into: Path) -> None:
    published = await store.publish(source, unheard)
    await store.fetch(published.digest, into, unheard)


def test_a_child_ends_with_the_worker_that_started_it(stalled: Path, into: Path) -> None:
    told: dict[str, Any] = {"store": str(stalled), "marked": False, "digest": UNKNOWN, "into": str(into), "settle": 0}
    child = subprocess.Popen((sys.executable, "-m", "infra.drivers.store.child", "fetch"), stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.write(json.dumps(told).encode() + b"\n")
    child.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    child.stdin.close()
    assert child.wait(QUICKLY) == 1
