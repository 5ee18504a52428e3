"""Copies that share their blocks with the original: milliseconds and no room, whatever the size (ioctl FICLONE)."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path

FICLONE = 0x40049409
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


def sync(path: Path) -> None:
    """Let a finished file or directory survive a power cut before anything says that it is finished."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
