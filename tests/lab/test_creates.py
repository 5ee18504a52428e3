"""A server of an image that its host has never seen is created while a zone is lost: whole, and in time.

The host is simulated but for its images: those it fetches from the lab's store, as a real one does. Part of
`make lab-test` only.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from infra.db.built_images import NewImage, register_image
from infra.domain.errors import HostUnavailable
from infra.domain.models import Image
from infra.drivers.protocols import Images, Progress
from infra.drivers.store.errors import StoreAway
from infra.drivers.store.mount import ImageStore
from infra.lab.lab import Lab
from tests.fix_region import NewRegion, working_host
from tests.lab.conftest import Yard
from tests.lab.load import some_image, unheard
from workers.region import region_worker

DEADLINE = 120.0
"""Seconds in which a server is created with one zone down, its image fetched included."""

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("LAB_ALL"), reason="a part of make lab-test"),
]


@dataclass
class Fetching:
    """A simulated host's images, for each of which the store is read all the same."""

    images: Images
    store: ImageStore
    place: Path

    async def ensure(self, image: Image, progress: Progress) -> None:
        into = Path(mkdtemp(dir=self.place))
        try:
            await self.store.fetch(image.digest, into, progress)
        except StoreAway as error:
            raise HostUnavailable("the image store does not answer") from error
        finally:
            shutil.rmtree(into)
        await self.images.ensure(image, progress)


@pytest.mark.parametrize(("how", "zone"), [(Lab.kill, "z2"), (Lab.cut, "z3")])
async def test_a_server_is_created(
    yard: Yard, new_region: NewRegion, tmp_path: Path, how: Callable[[Lab, str], None], zone: str
) -> None:
    digests = [(await yard.store("a").publish(some_image(tmp_path / f"new{n}"), unheard)).digest for n in range(3)]
    yard.acknowledged += digests
    assert (await asyncio.to_thread(yard.told, "healthy")).word == "healthy"  # three copies, of the newest image too
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        host_id, simulated = next(iter(region.hosts.items()))
        hands = simulated.host()
        hands = replace(hands, images=Fetching(hands.images, yard.store("b"), tmp_path))
        async with working_host(region, host_id, hands=hands):
            await asyncio.to_thread(how, yard.lab, zone)
            begun = time.monotonic()
            for number, digest in enumerate(digests):
                async with region.pool.connection() as connection:
                    image = NewImage(f"{region.location}-{number}", digest, 1, "stored in the lab")
                    image_id = await register_image(connection, image)
                await region.create(image_id=image_id)
            took = time.monotonic() - begun
    healed = await asyncio.to_thread(yard.healed)
    print(f"\n{yard.lab.engine_name()} {how.__name__} {zone}: three servers of three new images in {took:.1f} s")
    assert took < DEADLINE
    assert healed.word == "healthy", healed.text
