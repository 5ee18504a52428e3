"""The room of the image cache: what is in it, when each image was last used, and what leaves when it gets too much.

An image's size is that of the blocks of its files and of its grown templates. Templates share most of theirs with the
image, and all with the servers' disks made of them: it is counted as often as it is shared, so the cache takes less of
the disk than it says, and what leaves gives back less. Last use is the time of the image's directory.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.domain.image_cache import CachedImage, leaving
from infra.drivers.image_locks import ImageLocks
from infra.drivers.layout import HostLayout

ORIGIN = "user.puchify.image"
"""On a server's disk: the digest of the image that it was made of."""
REST = 900.0
"""Seconds after its last use that an image counts as in use: a create is on its way from one step to the next."""
SPARE = 1 / 16
"""The share of the storage that stays free when all images here are in use and one more has to exceed the limit."""
HOUR = 3600
MOST_TOLD = 500  # images in a report
BOOT_FILES = ("vmlinux", "initrd", "cmdline")

log = logging.getLogger(__name__)


class ImageRoom:
    """Blocking. ``limit``: bytes. ``rest``: seconds, as REST. ``spare``: as SPARE."""

    def __init__(self, layout: HostLayout, limit: int, rest: float = REST, spare: float = SPARE) -> None:
        self.limit = limit
        self._spare = spare
        self._layout = layout
        self._locks = ImageLocks(layout.locks)
        self._rest = rest

    def use(self, digest: str) -> bool:
        """Note a use of the image; False: it is not there, or about to go."""
        with self._locks.try_hold(digest, alone=False) as held:
            return held and self.touch(digest)

    def touch(self, digest: str) -> bool:
        """As `use`, of who holds it."""
        try:
            os.utime(self._layout.image(digest))
        except FileNotFoundError:
            return False
        return True

    def content(self) -> list[CachedImage]:
        booted, now = self._booted_here(), time.time()
        return sorted(self._looked_at(booted, now), key=lambda image: image.used, reverse=True)

    def make(self, needed: int) -> int:
        """Let go of what was not used for longest until ``needed`` bytes more fit; how many are still too much."""
        for image in leaving(self.content(), self.limit, needed):
            self._evict(image)
        return max(0, sum(image.size for image in self.content()) + needed - self.limit)

    def can_exceed(self, needed: int) -> bool:
        """Whether the storage has room for ``needed`` bytes over the limit, for as long as all that is here is used."""
        storage = shutil.disk_usage(self._layout.root)
        return storage.free - needed >= storage.total * self._spare

    def clear(self) -> int:
        """Let go of all that is not in use; how many images that were."""
        return sum(self._evict(image) for image in self.content() if not image.held)

    def facts(self) -> dict[str, Any]:
        """What the host's report says of it: by digest the size in MiB, the hour of the last use and whether it is in
        use. Hours: reports that say the same are not written."""
        content = self.content()[:MOST_TOLD]
        return {
            "image_cache_gib": self.limit >> 30,
            "image_mib": {image.digest: image.size >> 20 for image in content},
            "image_used": {image.digest: int(image.used) // HOUR * HOUR for image in content},
            "image_in_use": {image.digest: image.held for image in content},
        }

    def _looked_at(self, booted: set[str] | None, now: float) -> Iterator[CachedImage]:
        for directory in (self._layout.root / "images").iterdir():
            with suppress(FileNotFoundError):  # it leaves while we look
                used = directory.stat().st_mtime
                files = [*directory.iterdir(), *self._layout.grown_of(directory.name)]
                needed = any(file.name in BOOT_FILES for file in files) and (booted is None or directory.name in booted)
                recent = 0 <= now - used < self._rest
                held = needed or recent or self._locks.is_held(directory.name)
                yield CachedImage(directory.name, sum(file.stat().st_blocks for file in files) * 512, used, held)

    def _booted_here(self) -> set[str] | None:
        """The images that servers' disks here were made of, whose kernels they may boot; None: of one it is unknown."""
        found = set()
        for disk in (self._layout.root / "disks").iterdir():
            try:
                found.add(os.getxattr(disk, ORIGIN).decode())
            except FileNotFoundError:
                continue
            except OSError:  # made before disks had it, or the file system keeps none
                return None
        return found

    def _evict(self, image: CachedImage) -> bool:
        """Its name is gone at once, after the names of its templates: what is there is always whole."""
        layout, path = self._layout, self._layout.image(image.digest)
        with self._locks.try_hold(image.digest, alone=True) as mine:
            if not mine or not path.exists() or path.stat().st_mtime > image.used:
                return False
            for file in layout.grown_of(image.digest):
                file.unlink()
            leaving = layout.unfinished(path)
            shutil.rmtree(leaving, ignore_errors=True)
            path.rename(leaving)
            shutil.rmtree(leaving)
        log.info("the image %s left the cache: %d MiB, not used for longest", image.digest[:12], image.size >> 20)
        return True


def note_origin(disk: Path, digest: str) -> None:
    """Before the disk has its name."""
    with suppress(OSError):  # a file system without: then all images with a kernel stay
        os.setxattr(disk, ORIGIN, digest.encode())
