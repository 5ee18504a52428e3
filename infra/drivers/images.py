"""The host's image cache: what the store has, on the host's own storage, where a clone of it costs nothing."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path

from infra.domain.errors import HostUnavailable, ImageUnusable
from infra.domain.models import Image
from infra.drivers.disks import storage_errors
from infra.drivers.layout import HostLayout
from infra.drivers.protocols import Progress
from infra.drivers.reflink import sync
from infra.drivers.store.errors import ImageDamaged, ImageMissing, StoreError
from infra.drivers.store.mount import ImageStore
from infra.drivers.threads import SingleFlight, run

BREATH = 1.0  # seconds between two words of progress


class CachedImages:
    def __init__(self, layout: HostLayout, store: ImageStore) -> None:
        self._layout = layout
        self._store = store
        self._fetching = SingleFlight[str, None]()
        self._done: dict[str, int] = {}

    async def ensure(self, image: Image, progress: Progress) -> None:
        """Whoever waits is told the progress, however many wait for the same image."""
        if self._layout.image(image.digest).is_dir():
            return
        waiting = asyncio.create_task(self._fetching.do(image.digest, partial(self._fetch, image)))
        try:
            while not waiting.done():
                progress(self._done.get(image.digest, 0))
                await asyncio.wait([waiting], timeout=BREATH)
        finally:
            waiting.cancel()  # does nothing to one that is done, and never ends the flight for the others
        await waiting

    async def _fetch(self, image: Image) -> None:
        target = self._layout.image(image.digest)
        unfinished = self._layout.unfinished(target)
        try:
            with storage_errors():
                await run(None, partial(_begin, unfinished))
                await self._store.fetch(image.digest, unfinished, partial(self._done.__setitem__, image.digest))
                await run(None, partial(_publish, unfinished, target))
        except ImageMissing as error:
            raise ImageUnusable(f"the image {image.name!r} is not in the image store") from error
        except ImageDamaged as error:
            raise ImageUnusable(f"the image {image.name!r} is damaged") from error
        except StoreError as error:
            raise HostUnavailable("the image store does not answer") from error
        finally:
            self._done.pop(image.digest, None)
            await run(None, partial(shutil.rmtree, unfinished, ignore_errors=True))


def _begin(unfinished: Path) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o711)


def _publish(unfinished: Path, target: Path) -> None:
    if not target.exists():
        unfinished.rename(target)
        sync(target.parent)
