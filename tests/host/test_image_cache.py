"""The image cache on real XFS and a real store: each image read once; what is in use stays, the rest leaves in turn."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from infra.domain.errors import HostFull, HostUnavailable, ImageDoubtful
from infra.domain.models import Image
from infra.drivers.disks import ClonedDisks
from infra.drivers.image_locks import ImageLocks
from infra.drivers.image_room import ORIGIN
from infra.drivers.store.errors import ImageDamaged
from tests.host.fix_host import IMAGE
from tests.host.fix_storage import GPT, MIB, Cache, raw_disk, unheard

pytestmark = pytest.mark.usefixtures("private_network")  # these need root as much
WHILE = 30  # seconds for what happens at once on an idle machine


async def fetched(cache: Cache, *images: Image) -> None:
    """One after the other; each last used an hour after the one before, and all long ago."""
    for number, image in enumerate(images):
        await cache.images.ensure(image, unheard)
        then = time.time() - 3600 * (100 - number)
        os.utime(cache.layout.image(image.digest), (then, then))


def held(cache: Cache) -> dict[str, bool]:
    return {image.digest: image.held for image in cache.room.content()}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WHILE):
        while not condition():  # noqa: ASYNC110  nobody tells when it comes true
            await asyncio.sleep(0.02)


async def test_what_was_not_used_for_longest_leaves_with_its_templates(cache: Cache) -> None:
    first, second, third = [await cache.publish(name) for name in ("first", "second", "third")]
    await fetched(cache, first, second)
    disks = ClonedDisks(cache.layout)
    for image in (first, second):
        await disks.prepare(image, 1)
    os.utime(cache.layout.image(second.digest), (1000, 1000))
    await cache.images.ensure(first, unheard)

    small = cache.again(limit=20 * MIB)  # two of them with a template each, but no third one
    await small.images.ensure(third, unheard)

    assert cache.cached() == {first.digest, third.digest}
    assert [path.name for path in (cache.layout.root / "grown").iterdir()] == [f"{first.digest}-1.raw"]
    assert not list(cache.layout.tmp.iterdir())


async def test_the_cache_is_within_its_limit_before_a_fetch_and_after(cache: Cache) -> None:
    small = cache.again(limit=9 * MIB, rest=0)
    for name in ("first", "second", "third"):
        await small.images.ensure(await cache.publish(name), unheard)
        assert sum(image.size for image in small.room.content()) <= small.room.limit


async def test_what_is_in_use_stays_and_the_limit_is_exceeded_while_it_is(cache: Cache) -> None:
    image, other = await cache.publish("image"), await cache.publish("other")
    await fetched(cache, image)
    small = cache.again(limit=6 * MIB, rest=0)
    with ImageLocks(cache.layout.locks).try_hold(image.digest, alone=False):
        await small.images.ensure(other, unheard)
        assert image.digest in cache.cached()

    await small.images.ensure(await cache.publish("third"), unheard)

    assert image.digest not in cache.cached()


async def test_what_is_in_use_stays_and_on_a_full_storage_there_is_no_room(cache: Cache) -> None:
    image, other = await cache.publish("image"), await cache.publish("other")
    await fetched(cache, image)
    small = cache.again(limit=6 * MIB, spare=1.0)
    with ImageLocks(cache.layout.locks).try_hold(image.digest, alone=False) as cloning:
        assert cloning
        with pytest.raises(HostFull, match="no room for the server's image"):
            await small.images.ensure(other, unheard)
    assert cache.cached() == {image.digest}

    await small.images.ensure(other, unheard)  # nobody clones it any more

    assert cache.cached() == {other.digest}


async def test_an_image_just_used_is_in_use(cache: Cache) -> None:
    image = await cache.publish("image")
    await cache.images.ensure(image, unheard)
    assert held(cache) == {image.digest: True}
    assert held(cache.again(rest=0)) == {image.digest: False}


async def test_a_kernel_stays_while_a_server_here_may_boot_it(cache: Cache) -> None:
    with_kernel, without = await cache.publish("with", kernel=True), await cache.publish("without")
    await fetched(cache, with_kernel, without)
    disks, later = ClonedDisks(cache.layout), cache.again(rest=0)
    for server_id, image in ((1, with_kernel), (2, without)):
        await disks.create(server_id, image, 1)
        assert os.getxattr(cache.layout.disk(server_id), ORIGIN).decode() == image.digest
    assert held(later) == {with_kernel.digest: True, without.digest: False}

    await disks.remove(1)

    assert held(later) == {with_kernel.digest: False, without.digest: False}


async def test_while_it_is_unknown_what_a_disk_was_made_of_every_kernel_stays(cache: Cache) -> None:
    with_kernel, without = await cache.publish("with", kernel=True), await cache.publish("without")
    await fetched(cache, with_kernel, without)
    cache.layout.disk(7).touch()
    assert held(cache) == {with_kernel.digest: True, without.digest: False}


async def test_a_servers_disk_outlives_its_image(cache: Cache) -> None:
    image = await cache.publish("image")
    await fetched(cache, image)
    await ClonedDisks(cache.layout).create(1, image, 1)
    before = beginning(cache.layout.disk(1), 4 * MIB)

    assert cache.again(rest=0).room.clear() == 1

    assert cache.cached() == set()
    assert beginning(cache.layout.disk(1), 4 * MIB) == before != bytes(4 * MIB)


async def test_twenty_creates_at_once_read_the_store_once(cache: Cache) -> None:
    image = await cache.publish("image")
    disks = ClonedDisks(cache.layout)

    async def create(server_id: int) -> None:
        await cache.images.ensure(image, unheard)
        await disks.create(server_id, image, 1)

    with patch.object(cache.store, "fetch", side_effect=cache.store.fetch) as fetching:
        await asyncio.gather(*(create(server_id) for server_id in range(1, 21)))
    assert fetching.call_count == 1
    assert await disks.held() == set(range(1, 21))


OF_ITS_OWN = """
import asyncio, os, sys
from pathlib import Path
from infra.domain.models import Image
from infra.drivers.image_room import ImageRoom
from infra.drivers.images import CachedImages
from infra.drivers.layout import HostLayout
from infra.drivers.store.mount import ImageStore
layout, store = HostLayout(Path({root!r}), Path({run!r})), ImageStore(Path({store!r}), settle=0)
fetch = store.fetch
async def counted(*arguments):
    os.write(1, b"fetched")
    await fetch(*arguments)
store.fetch = counted
images = CachedImages(layout, store, ImageRoom(layout, 2**40))
sys.stdin.read(1)
asyncio.run(images.ensure({image!r}, lambda _: None))
"""


async def test_processes_that_want_the_same_image_read_the_store_once(cache: Cache) -> None:
    image = await cache.publish("image", mib=16)
    where = {"root": str(cache.layout.root), "run": str(cache.layout.run), "store": str(cache.at)}
    program = (sys.executable, "-c", OF_ITS_OWN.format(**where, image=image))
    pipe = subprocess.PIPE
    workers = [await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe) for _ in range(3)]
    told = await asyncio.gather(*(worker.communicate(b"x") for worker in workers))
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert b"".join(out for out, _ in told) == b"fetched"
    assert cache.cached() == {image.digest}


async def test_a_worker_that_starts_leaves_alone_what_another_is_fetching(cache: Cache) -> None:
    unfinished = cache.layout.unfinished(cache.layout.image("a" * 64))
    unfinished.mkdir()
    with ImageLocks(cache.layout.locks).try_hold("a" * 64, alone=True):
        cache.layout.prepare()
        assert unfinished.exists()
    cache.layout.prepare()
    assert not unfinished.exists()


async def test_an_image_that_arrives_damaged_is_read_once_more(cache: Cache) -> None:
    image = await cache.publish("image")
    with patch.object(cache.store, "fetch", side_effect=[ImageDamaged("a flipped bit"), None]) as fetching:
        await cache.images.ensure(image, unheard)
    assert fetching.call_count == 2


async def test_an_image_that_is_damaged_or_missing_is_doubted(cache: Cache) -> None:
    image = await cache.publish("image")
    with cache.stored(image).open("r+b") as stored:
        stored.seek(MIB)
        stored.write(b"flipped")
    counted = patch.object(cache.store, "fetch", side_effect=cache.store.fetch)
    with counted as fetching, pytest.raises(ImageDoubtful, match="damaged"):
        await cache.images.ensure(image, unheard)
    assert fetching.call_count == 2
    with pytest.raises(ImageDoubtful, match="not in the image store"):
        await cache.images.ensure(IMAGE, unheard)
    assert cache.cached() == set()
    assert not list(cache.layout.tmp.iterdir())


async def test_a_stalled_store_is_told_and_what_is_cached_goes_on(cache: Cache) -> None:
    here, away = await cache.publish("here"), await cache.publish("away")
    hasty, said = cache.again(patience=2.5), list[int]()
    await hasty.images.ensure(here, unheard)
    with cache.stalled(away):
        with pytest.raises(HostUnavailable, match="does not answer"):
            await hasty.images.ensure(away, said.append)
        assert len(said) >= 3  # one each second: who waits goes on saying that it lives
        assert hasty.images.hindrances() == [
            "the image store does not answer: only images that are cached here can be used"
        ]
        await hasty.images.ensure(here, unheard)
        await ClonedDisks(cache.layout).create(1, here, 1)
    with patch("infra.drivers.images.LOOK_EVERY", 0.01):
        looking = asyncio.create_task(hasty.images.keep_looking())
        await until(lambda: not hasty.images.hindrances())
        looking.cancel()
    await hasty.images.ensure(away, unheard)


async def test_a_full_disk_is_made_room_on(cache: Cache) -> None:
    old, new = await cache.publish("old"), await cache.publish("new")
    await fetched(cache, old)
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch.object(cache.store, "fetch", side_effect=[full, None]):
        await cache.images.ensure(new, unheard)
    assert cache.cached() == {new.digest}


async def test_a_prefetch_gives_way_to_an_order(cache: Cache) -> None:
    ahead, ordered = await cache.publish("ahead"), await cache.publish("ordered")
    with cache.stalled(ahead):
        fetching = asyncio.create_task(cache.images.prefetch(ahead))
        await until(lambda: cache.layout.unfinished(cache.layout.image(ahead.digest)).exists())
        await asyncio.wait_for(cache.images.ensure(ordered, unheard), WHILE)
        assert cache.cached() == {ordered.digest}
        assert not fetching.done()
    await asyncio.wait_for(fetching, WHILE)
    assert cache.cached() == {ahead.digest, ordered.digest}


async def test_an_order_takes_over_the_prefetch_of_its_image(cache: Cache) -> None:
    image, other = await cache.publish("image"), await cache.publish("other")
    with patch.object(cache.store, "fetch", side_effect=cache.store.fetch) as fetching:
        await asyncio.gather(
            cache.images.prefetch(image),
            *(cache.images.ensure(image, unheard) for _ in range(3)),
            cache.images.ensure(other, unheard),
        )
    assert [call.args[0] for call in fetching.call_args_list].count(image.digest) == 1


async def test_nothing_leaves_for_a_prefetch(cache: Cache) -> None:
    old, new = await cache.publish("old"), await cache.publish("new")
    await fetched(cache, old)
    await cache.again(limit=6 * MIB).images.prefetch(new)
    assert cache.cached() == {old.digest}


def beginning(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


PHASES = {
    "about to fetch": "images._begin = after(images._begin)",
    "fetching": "images.CachedImages._bring_once = arriving",
    "unpacked": "images._publish = before(images._publish)",
    "published": "images.sync = before(images.sync)",
    "growing": "grow.run_tool = before(grow.run_tool)",
    "grown": "disks.sync = before(disks.sync)",
    "cloned": "disks.note_origin = after(disks.note_origin)",
}

KILLED = """
import asyncio, os, signal
from pathlib import Path
from infra.domain.models import Image
from infra.drivers import disks, grow, images
from infra.drivers.image_room import ImageRoom
from infra.drivers.layout import HostLayout
from infra.drivers.store.mount import ImageStore
def die(): os.kill(os.getpid(), signal.SIGKILL)
def before(work): return lambda *arguments, **named: die()
def after(work): return lambda *arguments, **named: (work(*arguments, **named), die())
bring_once = images.CachedImages._bring_once
async def arriving(cache, image):
    watching = asyncio.create_task(watch(layout.unfinished(layout.image(image.digest)) / "disk.raw"))
    await bring_once(cache, image)
async def watch(path):
    while not path.exists():
        await asyncio.sleep(0)
    die()
{phase}
layout, store = HostLayout(Path({root!r}), Path({run!r})), ImageStore(Path({store!r}), settle=0)
async def create():
    await images.CachedImages(layout, store, ImageRoom(layout, 2**40)).ensure({image!r}, lambda _: None)
    await disks.ClonedDisks(layout).create(1, {image!r}, 1)
asyncio.run(create())
"""


@pytest.mark.parametrize("phase", PHASES)
async def test_killed_in_a_first_use_it_is_done_again_and_once(cache: Cache, tmp_path: Path, phase: str) -> None:
    image = await partitioned(cache, tmp_path)
    where = {"root": str(cache.layout.root), "run": str(cache.layout.run), "store": str(cache.at)}
    program = KILLED.format(**where, image=image, phase=PHASES[phase])
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await killed.wait() == -9

    cache.layout.prepare()  # as the worker does that is started again
    await cache.images.ensure(image, unheard)
    disks = ClonedDisks(cache.layout)
    await disks.create(1, image, 1)

    assert cache.cached() == {image.digest}
    assert [path.name for path in (cache.layout.root / "grown").iterdir()] == [f"{image.digest}-1.raw"]
    assert await disks.held() == {1}
    assert not list(cache.layout.tmp.iterdir())
    assert await cache.store.sweep(0) == 0


async def partitioned(cache: Cache, tmp_path: Path) -> Image:
    """One that is grown."""
    (tmp_path / "built").mkdir()
    raw_disk(tmp_path / "built" / "disk.raw", GPT)
    published = await cache.store.publish(tmp_path / "built", unheard)
    return replace(IMAGE, digest=published.digest)
