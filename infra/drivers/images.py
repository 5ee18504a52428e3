"""The host's image cache: what the store has, on the host's own storage, where a clone of it costs nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from infra.domain.errors import ImageUnusable
from infra.domain.models import Image
from infra.drivers.disks import storage_errors
from infra.drivers.layout import HostLayout
from infra.drivers.protocols import Progress
from infra.drivers.store import DirectoryStore, ImageDamaged, fetch
from infra.drivers.threads import SingleFlight, run

BREATH = 1.0  # seconds between two words of progress


class CachedImages:
    def __init__(self, layout: HostLayout, store: DirectoryStore) -> None:
        self._layout = layout
        self._store = store
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="images")
        self._fetching = SingleFlight[str, None]()
        self._done: dict[str, int] = {}

    async def ensure(self, image: Image, progress: Progress) -> None:
        """Whoever waits is told the progress, however many wait for the same image."""
        if self._layout.image(image.digest).is_dir():
            return
        work = partial(run, self._threads, partial(self._fetch, image))
        waiting = asyncio.create_task(self._fetching.do(image.digest, work))
        try:
            while not waiting.done():
                progress(self._done.get(image.digest, 0))
                await asyncio.wait([waiting], timeout=BREATH)
        finally:
            waiting.cancel()  # does nothing to one that is done, and never ends the flight for the others
        await waiting

    def _fetch(self, image: Image) -> None:
        target = self._layout.image(image.digest)
        source = self._store.find(image.digest)
        if source is None:
            raise ImageUnusable(f"the image {image.name!r} is not in the image store")
        try:
            with storage_errors():
                if not target.is_dir():
                    said = partial(self._done.__setitem__, image.digest)
                    fetch(source, target, self._layout.unfinished(target), image.digest, said)
        except ImageDamaged as error:
            raise ImageUnusable(f"the image {image.name!r} is damaged") from error
        finally:
            self._done.pop(image.digest, None)
