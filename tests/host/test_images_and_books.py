"""The image cache and the books, through the product's own endpoints: what is fetched ahead, and what is doubted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.images import Images
from infra.db.built_images import NewImage, register_image
from infra.domain.errors import ImageDoubtful
from infra.domain.models import Image
from tests.fix_region import NewRegion, Region, working_host
from tests.host.fix_host import machine_of
from tests.host.fix_storage import MIB, Cache
from workers.prefetch import prefetch

pytestmark = pytest.mark.usefixtures("private_network")  # these need root as much


async def offered(region: Region, cache: Cache) -> Image:
    """A system image that is in the store."""
    image = await cache.publish(region.location)
    async with region.pool.connection() as connection:
        new = NewImage(image.name, image.digest, 1, "a test image")
        return replace(image, id=await register_image(connection, new))


async def test_a_host_fetches_ahead_what_its_books_name(new_region: NewRegion, cache: Cache) -> None:
    async with new_region(workers=False) as region:
        image = await offered(region, cache)
        async with working_host(region, next(iter(region.hosts))) as reports:
            await prefetch(cache.images, reports.internal_api)  # of the others, which no store has, none disturbs it
        assert cache.cached() == {image.digest}


async def test_the_books_learn_of_a_damaged_image(new_region: NewRegion, cache: Cache) -> None:
    async with new_region(workers=False) as region:
        image = await offered(region, cache)
        with cache.stored(image).open("r+b") as stored:
            stored.seek(MIB)
            stored.write(b"flipped")
        async with working_host(region, next(iter(region.hosts))) as reports:
            step = Images(cache.images, reports.internal_api).ensure_image
            with pytest.raises(ImageDoubtful):
                await ActivityEnvironment().run(step, machine_of(5, image))
        row = await region.one("SELECT doubted IS NOT NULL AS is_doubted FROM images WHERE id = %s", image.id)
        assert row == {"is_doubted": True}
