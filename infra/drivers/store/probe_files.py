"""What the probes do with files: make, read, compare, and wait for what another mount is to show. Runs in the child."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from infra.drivers.store.errors import StoreUnfit
from infra.drivers.store.pack import Progress
from infra.drivers.store.stored_files import TMP
from infra.drivers.store.streams import CHUNK, write_all

VISIBLE_WITHIN = 15.0  # seconds


@contextmanager
def names(directory: Path, number: int) -> Iterator[list[Path]]:
    """Names for files, none of which is left."""
    names = [directory / f"{TMP}{uuid4().hex}" for _ in range(number)]
    try:
        yield names
    finally:
        for name in names:
            with suppress(OSError):
                name.unlink()


@contextmanager
def created(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        yield file
    finally:
        with suppress(OSError):  # GlusterFS says ESTALE even here; of what was only read, nothing can be lost
            os.close(file)


def write(path: Path, content: bytes) -> None:
    with created(path) as file:
        write_all(file, content)
        os.fsync(file)


def rest(file: int) -> bytes:
    return b"".join(iter(lambda: os.read(file, CHUNK), b""))


def digest(path: Path) -> str:
    with opened(path) as file:
        whole = hashlib.sha256()
        while chunk := os.read(file, CHUNK):
            whole.update(chunk)
        return whole.hexdigest()


def expect(path: Path, content: bytes, who: str) -> None:
    with opened(path) as file:
        if (got := rest(file)) != content:
            raise StoreUnfit(f"{who} got {described(got)}")


def wait_until_seen(path: Path, size: int) -> None:
    """Wait until the file is there with that size, and whatever content."""
    begun = time.monotonic()
    while not path.exists() or path.stat().st_size != size:
        in_time(begun, "it is not seen")
        time.sleep(0.01)


def wait_for(path: Path, content: bytes, progress: Progress) -> None:
    """Until the newest content is seen; one that is neither old nor new, or not whole, is the mount's fault."""
    begun = time.monotonic()
    while True:
        try:
            with opened(path) as file:
                seen = rest(file)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            seen = None
        if seen == content:
            return
        if seen is not None and (len(seen) != len(content) or len(set(seen)) > 1):
            raise StoreUnfit(f"a name was seen before its content: {described(seen)}")
        in_time(begun, "it is not seen on the second mount")
        progress(0)
        time.sleep(0.01)


def in_time(begun: float, what: str) -> None:
    if time.monotonic() - begun > VISIBLE_WITHIN:
        raise StoreUnfit(f"{what} after {VISIBLE_WITHIN:.0f} s")


def look(path: Path) -> float:
    begun = time.monotonic()
    os.close(os.open(path, os.O_RDONLY))
    return time.monotonic() - begun


def described(content: bytes) -> str:
    kinds = len(set(content))
    return f"{len(content)} bytes, {'of one file' if kinds <= 1 else f'of {kinds} kinds'}"
