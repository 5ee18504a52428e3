"""Uploads on the mount: what was acknowledged is there, whoever else wrote, and what was not counts for nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from infra.drivers.store.children import StoreBusy
from infra.drivers.store.errors import ImageDamaged, ImageMissing, StoreAway, StoreFull
from infra.drivers.store.mount import Appender, ImageStore, Segment
from tests.store.disks import MIB
from tests.store.processes import children

IMAGE = 7


def unheard(_: int) -> None:
    return None


async def written(store: ImageStore, start: int, content: bytes, acknowledged: int | None = None) -> Segment:
    async with store.appending(IMAGE, start) as appender:
        await appender.write(content)
        length = await appender.sync()
    assert length == len(content)
    return Segment(appender.name, start, length if acknowledged is None else acknowledged)


async def test_what_was_sent_in_pieces_is_joined(store: ImageStore, tmp_path: Path) -> None:
    content = os.urandom(5 * MIB) + bytes(4 * MIB) + os.urandom(MIB + 5)
    cuts = (0, 3 * MIB + 1, 3 * MIB + 2, len(content))
    segments = [await written(store, begin, content[begin:end]) for begin, end in pairwise(cuts)]
    into = tmp_path / "joined"
    assert await store.collect(IMAGE, segments, into, unheard) == hashlib.sha256(content).hexdigest()
    assert into.read_bytes() == content
    assert into.stat().st_blocks * 512 < 8 * MIB


async def test_only_what_was_acknowledged_counts(store: ImageStore, tmp_path: Path) -> None:
    """A connection that was lost, and one that nobody heard of again, may have written on."""
    lost = await written(store, 0, b"hello, and more", acknowledged=5)
    await written(store, 5, b"a stranger")
    segments = [lost, await written(store, 5, b" world")]
    await store.collect(IMAGE, segments, tmp_path / "joined", unheard)
    assert (tmp_path / "joined").read_bytes() == b"hello world"


async def test_bytes_are_safe_when_they_are_acknowledged_and_the_segment_goes_on(store: ImageStore, path: Path) -> None:
    async with store.appending(IMAGE, 0) as appender:
        for number in range(1, 4):
            await appender.write(b"x" * 1000)
            assert await appender.sync() == number * 1000
            assert (path / "uploads" / str(IMAGE) / appender.name).stat().st_size == number * 1000


async def test_an_upload_with_a_gap_is_refused(store: ImageStore, tmp_path: Path) -> None:
    segments = [await written(store, 0, b"abc"), await written(store, 4, b"e")]
    with pytest.raises(ImageDamaged, match="gap"):
        await store.collect(IMAGE, segments, tmp_path / "joined", unheard)


async def test_an_upload_that_lost_what_was_acknowledged_is_refused(
    store: ImageStore, path: Path, tmp_path: Path
) -> None:
    segment = await written(store, 0, b"abc")
    file = path / "uploads" / str(IMAGE) / segment.name
    os.truncate(file, 2)
    with pytest.raises(ImageDamaged, match="lacks 1 byte"):
        await store.collect(IMAGE, [segment], tmp_path / "joined", unheard)
    file.unlink()
    with pytest.raises(ImageMissing):
        await store.collect(IMAGE, [segment], tmp_path / "joined", unheard)


async def test_an_upload_of_thousands_of_pieces(store: ImageStore, path: Path, tmp_path: Path) -> None:
    directory = path / "uploads" / str(IMAGE)
    directory.mkdir(parents=True)
    segments = [Segment(f"{start}-{'f' * 32}", start, 1) for start in range(5000)]
    for segment in segments:
        (directory / segment.name).write_bytes(b"x")
    assert await store.collect(IMAGE, segments, tmp_path / "joined", unheard) == hashlib.sha256(b"x" * 5000).hexdigest()


async def test_uploads_are_listed_and_discarded(store: ImageStore, path: Path) -> None:
    assert await store.uploads() == {}
    segment = await written(store, 0, b"abc")
    directory = path / "uploads" / str(IMAGE)
    for old in (directory / segment.name, directory):
        os.utime(old, (0, 0))
    assert (await store.uploads())[IMAGE] > 10**9
    await written(store, 3, b"d")
    assert (await store.uploads())[IMAGE] < 60
    for _ in range(2):
        await store.discard(IMAGE)
    assert await store.uploads() == {}


async def test_a_full_store_stops_the_upload(tiny_mount: Path) -> None:
    store = ImageStore(tiny_mount, settle=0)
    async with store.appending(IMAGE, 0) as appender:
        with pytest.raises(StoreFull):
            await _until_it_fails(appender)
        with pytest.raises(StoreAway, match="broken off"):
            await appender.sync()


async def test_a_writer_that_kept_nothing_takes_no_room(tiny_mount: Path) -> None:
    """In a full store the next try would find less."""
    store = ImageStore(tiny_mount, settle=0)
    async with store.appending(IMAGE, 0) as appender:
        with pytest.raises(StoreFull):
            await _until_it_fails(appender, sync=False)
    assert list((tiny_mount / "uploads" / str(IMAGE)).iterdir()) == []


async def test_a_stalled_store_stops_the_upload(frozen_mount: Path) -> None:
    store = ImageStore(frozen_mount, patience=0.5, settle=0)
    with pytest.raises(StoreAway):
        async with store.appending(IMAGE, 0) as appender:
            await _until_it_fails(appender)


async def test_who_finds_no_place_among_the_writers_is_told_soon(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.drivers.store.mount.WRITERS", 1)
    monkeypatch.setattr("infra.drivers.store.mount.WRITER_WAIT", 0.05)
    store = ImageStore(path, settle=0)
    async with store.appending(IMAGE, 0):
        with pytest.raises(StoreBusy):
            async with store.appending(IMAGE, 0):
                pass
    async with store.appending(IMAGE, 0):
        pass


async def test_a_segment_is_broken_off_by_a_cancelled_write(store: ImageStore) -> None:
    """Half a piece may be on its way: what would come after it would be taken for its rest."""
    async with store.appending(IMAGE, 0) as appender:
        os.kill(children()[0], signal.SIGSTOP)
        writing = asyncio.create_task(appender.write(bytes(10 * MIB)))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        with pytest.raises(StoreAway):
            await appender.sync()


async def _until_it_fails(appender: Appender, sync: bool = True) -> None:
    while True:
        await appender.write(os.urandom(MIB))
        if sync:
            await appender.sync()
