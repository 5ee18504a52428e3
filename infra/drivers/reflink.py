"""Copies that share their blocks with the original: milliseconds and no room, whatever the size (ioctl FICLONE)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

FICLONE = 0x40049409
FICLONERANGE = 0x4020940D
RANGE = struct.Struct("=qQQQ")  # struct file_clone_range: file, its offset, length, our offset
BLOCK = 4096  # bytes: what mkfs.xfs makes
CHUNK = 2**20
# What the kernel answers where it cannot: other file systems, or two different ones.
CANNOT = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})


def clone(source: Path, target: Path, mode: int = 0o600) -> None:
    """Make ``target`` (replaced if it is there) a copy of ``source``, or raise OSError and leave no ``target``."""
    target.unlink(missing_ok=True)
    with source.open("rb") as original:
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            fcntl.ioctl(copy, FICLONE, original.fileno())
        except OSError:
            target.unlink()
            raise
        finally:
            os.close(copy)


def clone_range(source: int, at: int, length: int, target: int, to: int) -> None:
    """Put ``length`` bytes of one open file into another that has nothing there yet, holes as holes.

    What does not lie on blocks in both is copied. Offsets and length in bytes; the source has as many.
    """
    whole = length // BLOCK * BLOCK if at % BLOCK == to % BLOCK == 0 else 0
    if whole:
        try:
            fcntl.ioctl(target, FICLONERANGE, RANGE.pack(source, at, whole, to))
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            whole = 0
    _copy(source, at + whole, at + length, target, to - at)


def _copy(source: int, at: int, end: int, target: int, shift: int) -> None:
    for start, stop in _written(source, at, end):
        for offset in range(start, stop, CHUNK):
            os.pwrite(target, os.pread(source, min(CHUNK, stop - offset), offset), offset + shift)


def _written(file: int, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: from, to."""
    while at < end:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        hole = os.lseek(file, at, os.SEEK_HOLE)
        yield min(at, end), min(hole, end)
        at = hole


def can_clone(directory: Path) -> bool:
    """Whether files in ``directory`` can be cloned: found out by doing it."""
    with tempfile.TemporaryDirectory(prefix=".clone-", dir=directory) as scratch:
        original = Path(scratch, "original")
        original.write_bytes(bytes(4096))
        try:
            clone(original, Path(scratch, "copy"))
        except OSError as error:
            if error.errno in CANNOT:
                return False
            raise
    return True
