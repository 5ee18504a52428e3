"""Uploads on the mount: the pieces that an image arrives in, as blocking functions. Runs in the child.

Each connection writes a file of its own, ``uploads/<image id>/<start>-<uuid>``. Which of them count, and how far, is
kept in the books: a writer that was thought dead can spoil nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from infra.drivers.durable import sync
from infra.drivers.store.errors import ImageDamaged, on_the_mount
from infra.drivers.store.pack import Progress
from infra.drivers.store.stored_files import age, closing_file, ensured, listed, looked_at, open_file, patiently
from infra.drivers.store.streams import CHUNK, SYNC_EVERY, Hashing, write_all

UPLOADS = "uploads"
ZEROS = bytes(CHUNK)


def name_of(start: int) -> str:
    return f"{start}-{uuid4().hex}"


class Segment:
    """A piece that is being written. StoreError from anything: write no more to it, begin another."""

    def __init__(self, store: Path, image_id: int, name: str) -> None:
        directory = ensured(store / UPLOADS / str(image_id))
        self._path = directory / name
        with on_the_mount("beginning a segment"):
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            sync(directory)
        self._length = self._synced = 0

    def write(self, content: bytes) -> None:
        write_all(self._file, content)
        self._length += len(content)
        if self._length - self._synced >= SYNC_EVERY:
            self.sync()

    def sync(self) -> int:
        """The bytes that are on the disks now."""
        with on_the_mount("syncing a segment"):
            os.fsync(self._file)
        self._synced = self._length
        return self._synced

    def close(self) -> None:
        with on_the_mount("closing a segment"):
            os.close(self._file)

    def drop(self) -> None:
        """Nobody was told of it. As far as the mount lets: whoever clears the upload away does the rest."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def collect(
    store: Path, image_id: int, segments: Iterable[tuple[str, int, int]], into: Path, settle: float, progress: Progress
) -> str:
    """Join the segments (name, start, length) in the new local file ``into``, synced; its sha256.

    ImageMissing: a segment is not there. ImageDamaged: one is shorter than was acknowledged. OSError: of ``into``.
    """
    whole, done = Hashing(), 0
    target = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for name, start, length in segments:
            if start != done:
                raise ImageDamaged(f"the upload has a gap after {done} bytes")
            for chunk in _content(store / UPLOADS / str(image_id) / name, length, settle):
                whole.add(chunk)
                _put(target, chunk, done)
                done += len(chunk)
                progress(done)
        os.ftruncate(target, done)
        os.fsync(target)
    finally:
        os.close(target)
    return whole.digest()


def _content(path: Path, length: int, settle: float) -> Iterator[bytes]:
    """The first ``length`` bytes; what is after them was never acknowledged."""
    with closing_file(patiently(lambda: open_file(path, os.O_RDONLY), settle)) as file:
        while length:
            with on_the_mount("reading a segment"):
                chunk = os.read(file, min(CHUNK, length))
            if not chunk:
                raise ImageDamaged(f"the upload lacks {length} bytes that were acknowledged")
            length -= len(chunk)
            yield chunk


def _put(target: int, chunk: bytes, at: int) -> None:
    """Zeros are left out: they are there already."""
    rest = memoryview(chunk if chunk != ZEROS[: len(chunk)] else b"")
    while rest:
        written = os.pwrite(target, rest, at)
        rest, at = rest[written:], at + written


def uploads(store: Path) -> dict[int, float]:
    """By image id: seconds since anybody wrote to the upload."""
    with on_the_mount("listing the uploads"):
        return {int(entry.name): _quiet_for(entry) for entry in listed(store / UPLOADS) if entry.name.isdigit()}


def _quiet_for(upload: os.DirEntry[str]) -> float:
    looks = (looked_at(entry) for entry in (upload, *listed(Path(upload.path))))
    return min((age(look.st_mtime) for look in looks if look is not None), default=0.0)


def discard(store: Path, image_id: int) -> None:
    """Remove an upload, however much of it there is."""
    directory = store / UPLOADS / str(image_id)
    with on_the_mount("discarding an upload"):
        for entry in listed(directory):
            Path(entry.path).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            directory.rmdir()
