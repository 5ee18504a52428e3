"""Scratch: local room in which images are taken apart, one directory an image.

Whoever works on an image holds its directory, so that of two tries one waits; a process that dies lets go of it. What
has its final name in there is complete, and what has not is dropped by the next one. All of it can be made again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

UNFINISHED = ".part"
LOOK = 0.2
"""Seconds between two tries to get a directory that somebody else holds."""


class Scratch:
    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def held(self, image_id: int) -> AsyncIterator[Path]:
        """The image's directory, for nobody else. Unfinished things of others are gone from it."""
        directory = self._path / str(image_id)
        lock = await self._lock(directory)
        try:
            await asyncio.to_thread(_drop_unfinished, directory)
            yield directory
        finally:
            os.close(lock)

    async def remove(self, image_id: int) -> None:
        """All of it, once nobody works on it any more."""
        directory = self._path / str(image_id)
        if directory.exists():
            async with self.held(image_id):
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def sweep(self, keep: Iterable[int]) -> list[int]:
        """Remove the directories of images that are not among ``keep``; their ids."""
        kept = set(keep)
        left = [image_id for image_id in self.held_here() if image_id not in kept]
        for image_id in left:
            await self.remove(image_id)
        return left

    def held_here(self) -> list[int]:
        if not self._path.exists():
            return []
        return sorted(int(path.name) for path in self._path.iterdir() if path.name.isdecimal())

    async def _lock(self, directory: Path) -> int:
        """A descriptor of the directory, locked; closing it lets go."""
        while (lock := _lock_of(directory)) is None:  # noqa: ASYNC110  another process may have it
            await asyncio.sleep(LOOK)
        return lock


def _lock_of(directory: Path) -> int | None:
    """None: somebody else has it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _locked(descriptor) and _is_still(directory, descriptor):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _locked(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _is_still(directory: Path, descriptor: int) -> bool:
    """Who held it before may have removed it, and somebody else made it anew."""
    with suppress(FileNotFoundError):
        return os.path.samestat(directory.stat(), os.fstat(descriptor))
    return False


def _drop_unfinished(directory: Path) -> None:
    for path in directory.glob(f"*{UNFINISHED}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
