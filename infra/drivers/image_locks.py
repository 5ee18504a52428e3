"""Holds on images, between all tasks and all processes of a host: one makes or removes, or many use.

They are locks on single bytes of one file, so no name needs a file of its own that somebody would have to remove. They
belong to the open file (fcntl(2), "open file description locks"), and a process that is killed holds nothing.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

FLOCK = struct.Struct("@hhqqi4x")  # type, whence, start, length, process
LOOK_EVERY = 0.05  # seconds


class ImageLocks:
    """``path``: of the file, on the host's own storage. ``alone``: nobody else may hold the name at the same time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def hold(self, name: str, alone: bool) -> AsyncIterator[None]:
        """Wait until it can be held."""
        while True:
            with self.try_hold(name, alone) as is_held:
                if is_held:
                    yield
                    return
            await asyncio.sleep(LOOK_EVERY)

    @contextmanager
    def try_hold(self, name: str, alone: bool) -> Iterator[bool]:
        """Whether it is held inside; never waits."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            held = _set(file, name, fcntl.F_WRLCK if alone else fcntl.F_RDLCK)
            try:
                yield held
            finally:
                if held:  # not only by closing: a process that is just being started may have the file as well
                    _set(file, name, fcntl.F_UNLCK)
        finally:
            os.close(file)

    def is_held(self, name: str) -> bool:
        """By anybody, in whatever way; asking disturbs nobody."""
        with open(self._path, "ab+") as file:
            asked = _lock(name, fcntl.F_WRLCK)
            kind, *_ = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
        return bool(kind != fcntl.F_UNLCK)


def _lock(name: str, kind: int) -> bytes:
    at = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    return FLOCK.pack(kind, os.SEEK_SET, at, 1, 0)


def _set(file: int, name: str, kind: int) -> bool:
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(name, kind))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
