"""Bytes on their way from the mount and to it, hashed beside the way. Runs in the child.

Reading ahead, hashing and what is done with the bytes overlap: one thread each, which spend their time outside the
interpreter.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from infra.drivers.store.errors import on_the_mount

CHUNK = 2**20  # bytes
AHEAD = 8  # chunks
SYNC_EVERY = 64 * 2**20  # bytes: so little takes less than the watch's patience, even at 1 MB/s


class Hashing:
    """The sha256 of what is added, computed by a thread that may be a few chunks behind."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)
        self._behind: deque[Future[None]] = deque()

    def add(self, chunk: bytes) -> None:
        self._behind.append(self._thread.submit(self._whole.update, chunk))
        if len(self._behind) > AHEAD:
            self._behind.popleft().result()

    def digest(self) -> str:
        """Hex, of everything so far."""
        while self._behind:
            self._behind.popleft().result()
        return self._whole.hexdigest()


class HashedReader:
    """A file of the mount, from its begin to its end."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1)
        self._coming: deque[Future[bytes]] = deque()
        self._chunk = b""
        self._taken = 0
        self._hashing = Hashing()

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end. StoreError: the mount's."""
        if self._taken == len(self._chunk):
            self._chunk, self._taken = self._next(), 0
            self._hashing.add(self._chunk)
        given = self._chunk[self._taken : self._taken + size]
        self._taken += len(given)
        return given

    def digest(self) -> str:
        """Of the whole file: what was not asked for yet is read first."""
        while self.read(CHUNK):
            pass
        return self._hashing.digest()

    def _next(self) -> bytes:
        while len(self._coming) < AHEAD:
            self._coming.append(self._thread.submit(self._ahead))
        return self._coming.popleft().result()

    def _ahead(self) -> bytes:
        with on_the_mount("reading"):
            return os.read(self._file, CHUNK)


class HashedWriter:
    """A new file of the mount, which is on the disks when ``finish`` has answered. StoreError: the mount's."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._waiting = bytearray()
        self._unsynced = 0
        self._hashing = Hashing()

    def write(self, content: bytes, /) -> int:
        self._waiting += content
        if len(self._waiting) >= CHUNK:
            self._flush()
        return len(content)

    def finish(self) -> str:
        """The sha256 of everything, once it is synced."""
        self._flush()
        self._sync()
        return self._hashing.digest()

    def _flush(self) -> None:
        chunk, self._waiting = bytes(self._waiting), bytearray()
        self._hashing.add(chunk)
        write_all(self._file, chunk)
        self._unsynced += len(chunk)
        if self._unsynced >= SYNC_EVERY:
            self._sync()

    def _sync(self) -> None:
        with on_the_mount("syncing"):
            os.fsync(self._file)
        self._unsynced = 0


def write_all(file: int, content: bytes) -> None:
    """StoreError: the mount's."""
    rest = memoryview(content)
    with on_the_mount("writing"):
        while rest:
            rest = rest[os.write(file, rest) :]
