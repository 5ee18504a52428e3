"""The care for stored images: what is wrong is found and told, what nobody needs goes, what somebody may need stays."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.store import StoreCare
from infra.db import image_care
from infra.db.built_images import NewImage, register_image
from infra.db.pool import Pool, open_pool
from infra.domain.models import ImagesChecked, StoreSwept
from infra.drivers.store.mount import ImageStore
from infra.temporal.names import region_queue
from tests.fix_region import Region
from tests.fix_stack import NewDatabase
from tests.store.disks import MIB, sparse_disk
from workflows.care_for_images import CareForImages

GRACE = 3600.0
WEEK = 7 * 86_400.0
VERIFIED = "UPDATE images SET verified = now() - make_interval(days => %s) WHERE digest = %s"
LONG_AGO = 2 * WEEK


def unheard(_: int) -> None:
    return None


@dataclass(frozen=True)
class Cared:
    """Books and a store of their own, and who takes care of them."""

    pool: Pool
    store: ImageStore
    path: Path
    scratch: Path

    async def publish(self) -> str:
        """Another image each time."""
        self.scratch.mkdir(exist_ok=True)
        sparse_disk(self.scratch / "disk.raw", MIB, [(0, 1000)])
        return (await self.store.publish(self.scratch, unheard)).digest

    async def offered(self, name: str = "tiny") -> str:
        digest = await self.publish()
        await self.register(digest, name)
        return digest

    async def register(self, digest: str, name: str = "tiny") -> int:
        async with self.pool.connection() as connection:
            return await register_image(connection, NewImage(name, digest, 1, "a test image"))

    def spoil(self, digest: str) -> None:
        with self.file(digest).open("r+b") as file:
            file.seek(2048)
            file.write(b"flipped")

    def file(self, digest: str) -> Path:
        return self.path / "images" / f"{digest}.tar"

    def age(self, digest: str, seconds: float = LONG_AGO) -> None:
        os.utime(self.file(digest), (time.time() - seconds,) * 2)

    async def doubt(self, digest: str) -> bool:
        async with self.pool.connection() as connection:
            return await image_care.doubt(connection, digest)

    async def check(self) -> ImagesChecked:
        return await ActivityEnvironment().run(self.care().check_images, "here")

    async def sweep(self) -> StoreSwept:
        return await ActivityEnvironment().run(self.care().sweep_store, "here")

    def care(self) -> StoreCare:
        return StoreCare(self.pool, self.store, GRACE, WEEK)

    async def row(self, digest: str) -> dict[str, Any]:
        (row,) = await self.all("SELECT * FROM images WHERE digest = %s", digest)
        return row

    async def all(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            found = await connection.execute(query.encode(), parameters)
            return await found.fetchall() if found.description else []


@pytest_asyncio.fixture(scope="module")
async def care_pool(new_database: NewDatabase) -> AsyncIterator[Pool]:
    async with new_database() as url, open_pool(url, 5) as pool:
        yield pool


@pytest_asyncio.fixture
async def cared(care_pool: Pool, store: ImageStore, path: Path, tmp_path: Path) -> AsyncIterator[Cared]:
    cared = Cared(care_pool, store, path, tmp_path / "scratch")
    async with care_pool.connection() as connection:
        await store.mark(await image_care.installation(connection))
    yield cared
    await cared.all("DELETE FROM images")


async def test_an_image_that_is_doubted_and_bad_is_put_in_quarantine(
    cared: Cared, caplog: pytest.LogCaptureFixture
) -> None:
    digest = await cared.offered()
    cared.spoil(digest)
    assert await cared.doubt(digest)
    assert await cared.check() == ImagesChecked([], [digest])
    row = await cared.row(digest)
    assert (row["status"], row["doubted"]) == ("unavailable", None)
    assert row["quarantined"] is not None
    assert [(record.levelno, digest in record.message) for record in caplog.records] == [(logging.ERROR, True)]


async def test_an_image_that_is_doubted_and_missing_is_put_in_quarantine(cared: Cared) -> None:
    digest = await cared.offered()
    await cared.doubt(digest)
    await cared.store.remove(digest)
    assert await cared.check() == ImagesChecked([], [digest])
    assert (await cared.row(digest))["status"] == "unavailable"


async def test_a_doubt_about_a_good_image_is_taken_back(cared: Cared) -> None:
    digest = await cared.offered()
    await cared.doubt(digest)
    assert await cared.check() == ImagesChecked([digest], [])
    row = await cared.row(digest)
    assert (row["status"], row["doubted"], row["quarantined"]) == ("available", None, None)
    assert row["verified"] is not None
    assert await cared.check() == ImagesChecked([], [])


async def test_an_image_that_nobody_offers_cannot_be_doubted(cared: Cared) -> None:
    assert not await cared.doubt("f" * 64)


async def test_an_image_in_quarantine_that_is_published_again_is_available_again(cared: Cared) -> None:
    digest = await cared.offered()
    good = cared.file(digest).read_bytes()
    cared.age(digest)
    cared.spoil(digest)
    cared.age(digest)
    await cared.doubt(digest)
    await cared.check()
    assert await cared.check() == ImagesChecked([], [])  # it is not read again and again
    await asyncio.to_thread(cared.file(digest).write_bytes, good)
    assert await cared.check() == ImagesChecked([digest], [])
    assert (await cared.row(digest))["status"] == "available"


async def test_what_the_engine_healed_is_found_good_an_hour_later(cared: Cared) -> None:
    digest = await cared.offered()
    good = cared.file(digest).read_bytes()
    cared.spoil(digest)
    await cared.doubt(digest)
    assert await cared.check() == ImagesChecked([], [digest])
    await asyncio.to_thread(cared.file(digest).write_bytes, good)
    cared.age(digest)  # healing leaves the times as they were
    assert await cared.check() == ImagesChecked([], [])
    await cared.all("UPDATE images SET quarantined = now() - make_interval(secs => %s) WHERE digest = %s", 3700, digest)
    assert await cared.check() == ImagesChecked([digest], [])


async def test_the_image_that_was_read_longest_ago_is_read_when_it_is_time(cared: Cared) -> None:
    first, second, third = [await cared.offered(name) for name in ("one", "two", "three")]
    for digest, days in ((first, 8), (second, 9), (third, 1)):
        await cared.all(
            "UPDATE images SET verified = now() - make_interval(days => %s) WHERE digest = %s", days, digest
        )
    cared.spoil(first)
    cared.age(first)
    assert await cared.check() == ImagesChecked([second], [])
    assert await cared.check() == ImagesChecked([], [first])
    assert await cared.check() == ImagesChecked([], [])


async def test_an_image_that_was_never_in_the_store_is_nobodys_fault(cared: Cared) -> None:
    """As on a simulated host, which needs none."""
    image_id = await cared.register("e" * 64)
    await cared.all("UPDATE images SET created = now() - interval '1 year' WHERE id = %s", image_id)
    assert await cared.check() == ImagesChecked([], [])


async def test_what_nobody_needs_is_swept_once_it_is_old(cared: Cared) -> None:
    needed, young, unneeded = [await cared.offered(), await cared.publish(), await cared.publish()]
    for digest in (needed, unneeded):
        cared.age(digest)
    assert await cared.sweep() == StoreSwept(1, 0, 0)
    assert set(await cared.store.images()) == {needed, young}


async def test_a_superseded_image_goes_with_the_last_day_it_can_be_ordered(cared: Cared) -> None:
    old, new = await cared.offered(), await cared.offered()
    for digest in (old, new):
        cared.age(digest)
    assert (await cared.sweep()).images == 0
    await cared.all("UPDATE images SET unavailable_after = now() - interval '1 s' WHERE digest = %s", old)
    assert (await cared.sweep()).images == 1
    assert set(await cared.store.images()) == {new}


async def test_what_an_import_under_way_may_have_published_stays(cared: Cared) -> None:
    """However long it takes until it is registered: its worker may have been down for hours."""
    image_id = await cared.register("d" * 64, "import")
    creating = "UPDATE images SET status = 'creating', digest = NULL, created = now() - make_interval(secs => %s)"
    await cared.all(creating + " WHERE id = %s", 5 * GRACE, image_id)
    published, older = await cared.publish(), await cared.publish()
    cared.age(published, 4 * GRACE)
    cared.age(older, 6 * GRACE)
    assert await cared.sweep() == StoreSwept(1, 0, 0)
    assert set(await cared.store.images()) == {published}


async def test_an_old_copy_that_is_published_once_more_is_not_swept(cared: Cared) -> None:
    """Nobody needed it, and it was found again by who does need it, and has not registered it yet."""
    digest = await cared.publish()
    cared.age(digest)
    assert (await cared.store.publish(cared.scratch, unheard)).digest == digest
    assert await cared.sweep() == StoreSwept(0, 0, 0)
    assert not await cared.store.remove(digest, GRACE)


async def test_publishing_beside_the_sweep_always_ends_with_the_image_there(cared: Cared) -> None:
    digest = await cared.publish()
    for _ in range(3):
        cared.age(digest)
        await asyncio.gather(cared.store.publish(cared.scratch, unheard), _sweeping(cared))
        assert set(await cared.store.images()) == {digest}


async def _sweeping(cared: Cared) -> None:
    for _ in range(3):
        await cared.store.remove(next(iter(await cared.store.images()), "0" * 64), GRACE)


async def test_the_uploads_of_images_that_are_not_made_any_more_are_discarded(cared: Cared) -> None:
    image_id = await cared.register("c" * 64, "import")
    await cared.all("UPDATE images SET status = 'creating', digest = NULL WHERE id = %s", image_id)
    over, young = image_id + 1000, image_id + 1001
    for upload in (image_id, over, young):
        async with cared.store.appending(upload, 0) as appender:
            await appender.write(b"abc")
            await appender.sync()
    for upload in (image_id, over):
        directory = cared.path / "uploads" / str(upload)
        for file in (*directory.iterdir(), directory):
            os.utime(file, (0, 0))
    assert await cared.sweep() == StoreSwept(0, 1, 0)
    assert set(await cared.store.uploads()) == {image_id, young}


@pytest.mark.parametrize("marker", [None, "another's"])
async def test_a_store_that_is_not_ours_is_left_alone(
    cared: Cared, marker: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    digest = await cared.offered()
    unneeded = await cared.publish()
    cared.age(unneeded)
    await cared.doubt(digest)
    (cared.path / ".store-id").unlink()
    if marker is not None:
        await cared.store.mark(marker)
    await cared.store.remove(digest)
    assert await cared.check() == ImagesChecked([], [])
    assert await cared.sweep() == StoreSwept(0, 0, 0)
    assert (await cared.row(digest))["status"] == "available"
    assert "puchify store init" in caplog.text


async def test_a_store_that_is_away_is_left_alone(cared: Cared, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(cared.path / "fifo")
    os.replace(cared.path / "fifo", cared.path / ".store-id")
    away = Cared(cared.pool, ImageStore(cared.path, patience=0.3), cared.path, cared.scratch)
    assert await away.check() == ImagesChecked([], [])
    assert await away.sweep() == StoreSwept(0, 0, 0)
    assert "is away" in caplog.text


async def test_a_region_takes_care_of_its_store(region: Region, source: Path) -> None:
    """The story, with the region's own wiring."""
    store = ImageStore(region.settings.image_store, settle=0)
    async with region.pool.connection() as connection:
        await store.mark(await image_care.installation(connection))
    digest = (await store.publish(source, unheard)).digest
    os.utime(region.settings.image_store / f"images/{digest}.tar", (0, 0))
    checked, swept = await region.client.execute_workflow(
        CareForImages.run, region.location, id=f"care-{region.location}", task_queue=region_queue(region.location)
    )
    assert (digest in checked.good, swept.images) == (False, 1)
