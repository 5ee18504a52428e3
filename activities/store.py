"""The image store: read back what is doubted or due, and take out what nobody needs.

Nothing is done to a store that is not marked as these books' own: on a machine where it is not mounted all would seem
lost, and in another's store all would seem superfluous.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from temporalio import activity

from activities.heartbeats import beating
from infra.db import image_care
from infra.db.image_care import Needs
from infra.db.pool import Pool
from infra.domain.models import ImagesChecked, StoreSwept
from infra.drivers.store.errors import ImageMissing, StoreError
from infra.drivers.store.mount import ImageStore, Stored

CLOCKS = 60.0  # seconds that the clocks of hosts and books may differ
AGAIN = 3600.0
"""Seconds after which what was found bad is read once more: the engine may have healed it, and that shows nowhere."""

log = logging.getLogger(__name__)


class StoreCare:
    def __init__(self, pool: Pool, store: ImageStore, grace: float, verify_every: float) -> None:
        """``grace``: seconds that what nobody needs stays. ``verify_every``: seconds until all was read back once."""
        self._pool = pool
        self._store = store
        self._grace = grace
        self._verify_every = verify_every

    @activity.defn
    async def check_images(self, location: str) -> ImagesChecked:
        """Read back what hosts doubt, what somebody may have mended, and what was read longest ago."""
        good, bad = list[str](), list[str]()
        try:
            async with beating():
                if await self._is_ours():
                    for digest in await self._to_check(await self._store.images()):
                        (good if await self._check(digest) else bad).append(digest)
        except StoreError as error:
            log.warning("the image store is away, and its images are checked later: %s", error)
        return ImagesChecked(good, bad)

    async def _to_check(self, stored: Mapping[str, Stored]) -> list[str]:
        async with self._pool.connection() as connection:
            doubted = await image_care.doubted(connection)
            quarantined = await image_care.quarantined(connection)
            due = await image_care.due(connection, list(stored), self._verify_every)
        newer = {digest: age + CLOCKS for digest, age in quarantined.items()}
        mended = [d for d, age in newer.items() if d in stored and (stored[d].age < age or age > AGAIN)]
        return list(dict.fromkeys([*doubted, *mended, *([due] if due else [])]))

    async def _check(self, digest: str) -> bool:
        """Whether the store has it, and right."""
        try:
            good = await self._store.verify(digest, lambda _: None)
        except ImageMissing:
            good = False
        async with self._pool.connection() as connection:
            await (image_care.found_good if good else image_care.found_bad)(connection, digest)
        if not good:
            log.error("the image store has no good copy of %s: no server is made of it until one is published", digest)
        return good

    @activity.defn
    async def sweep_store(self, location: str) -> StoreSwept:
        """Take out images, uploads and unfinished files that nobody needs and nobody wrote to for the grace."""
        images, uploads, unfinished = 0, 0, 0
        try:
            async with beating():
                if await self._is_ours():
                    images = await self._sweep_images()
                    uploads = await self._sweep_uploads()
                    unfinished = await self._store.sweep(self._grace)
        except StoreError as error:
            log.warning("the image store is away, and swept later: %s", error)
        return StoreSwept(images, uploads, unfinished)

    async def _sweep_images(self) -> int:
        """The store is looked at before the books: what is registered in between is in both, or in neither."""
        stored = await self._store.images()
        needed = await self._needs()
        unneeded = [digest for digest in stored if digest not in needed.digests]
        swept = [digest for digest in unneeded if await self._remove(digest, stored[digest].age, needed)]
        for digest in swept:
            log.info("nobody needs the image %s any more: it is out of the store", digest)
        return len(swept)

    async def _remove(self, digest: str, age: float, needed: Needs) -> bool:
        """One that was written since an import under way began may be that import's, published and not registered."""
        if age < max(needed.creating.values(), default=-CLOCKS) + CLOCKS:
            return False
        return await self._store.remove(digest, self._grace)

    async def _sweep_uploads(self) -> int:
        quiet = await self._store.uploads()
        needed = await self._needs()
        over = [image for image, age in quiet.items() if image not in needed.creating and age > self._grace]
        for image_id in over:
            await self._store.discard(image_id)
        return len(over)

    async def _needs(self) -> Needs:
        async with self._pool.connection() as connection:
            return await image_care.needs(connection)

    async def _is_ours(self) -> bool:
        async with self._pool.connection() as connection:
            ours = await image_care.installation(connection)
        if (marker := await self._store.marker()) != ours:
            log.warning("the image store is not cared for: %s (`puchify store init`)", _whose(marker))
        return marker == ours


def _whose(marker: str | None) -> str:
    return "nobody marked it, or it is not mounted" if marker is None else f"it is marked as that of {marker}"
