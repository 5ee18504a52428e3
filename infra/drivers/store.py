"""The image store on one machine: a directory with one directory an image, named by the sha256 of its raw disk.

An image is ``disk.raw`` and, where it brings its kernel, ``vmlinux``, ``initrd`` and ``cmdline``. It appears by rename
after its content was verified, so a name is a promise and a killed upload leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from infra.drivers.reflink import CANNOT, clone, sync

BOOT_FILES = ("vmlinux", "initrd", "cmdline")
DIGEST = re.compile(r"[0-9a-f]{64}")
ABANDONED = 3600.0  # seconds
CHUNK = 4 * 2**20  # bytes between two words of progress
HOLE = bytes(64 * 2**10)  # a run of zeros that takes no room in a copy


class ImageDamaged(Exception):
    """The content is not what its name says."""


class DirectoryStore:
    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, digest: str) -> Path | None:
        """The directory of an image; None when the store has none of that digest."""
        path = self._path / digest
        return path if DIGEST.fullmatch(digest) and path.is_dir() else None

    def digests(self) -> set[str]:
        if not self._path.exists():
            return set()
        return {path.name for path in self._path.iterdir() if DIGEST.fullmatch(path.name)}

    def add(self, directory: Path, digest: str) -> None:
        """Take an image in; one that is here already is left alone. Blocking. ImageDamaged: it is not that image."""
        if not DIGEST.fullmatch(digest):
            raise ImageDamaged(f"{digest!r} is not a sha256")
        if self.find(digest) is None:
            self._path.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._drop_abandoned()
            unfinished = self._path / f".{digest}.{os.getpid()}"
            fetch(directory, self._path / digest, unfinished, digest, lambda _: None)

    def _drop_abandoned(self) -> None:
        """What killed processes were about to add, here or on another machine: nobody has written to it for long."""
        for unfinished in self._path.glob(".*.*/"):
            with suppress(FileNotFoundError):  # somebody else drops or finishes it
                written = max(path.stat().st_mtime for path in (unfinished, *unfinished.iterdir()))
                if time.time() - written > ABANDONED:
                    shutil.rmtree(unfinished, ignore_errors=True)


def fetch(source: Path, target: Path, unfinished: Path, digest: str, progress: Callable[[int], None]) -> None:
    """Copy an image to ``unfinished`` while hashing, compare, and rename. Blocking. ``progress``: bytes so far."""
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o711)
    try:
        if copy(source / "disk.raw", unfinished / "disk.raw", progress) != digest:
            raise ImageDamaged(f"{source}: the disk's sha256 is not {digest}")
        for name in BOOT_FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, unfinished / name)
                (unfinished / name).chmod(0o644)
                sync(unfinished / name)
        sync(unfinished / "disk.raw")
        sync(unfinished)
        if not target.exists():
            unfinished.rename(target)
            sync(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def copy(source: Path, target: Path, progress: Callable[[int], None]) -> str:
    """Copy a file, its blocks shared where the file system can and its holes kept where not; the sha256 of it all."""
    shared = _share(source, target)
    whole = hashlib.sha256()
    with source.open("rb") as original, target.open("r+b" if shared else "wb") as copied:
        while chunk := original.read(CHUNK):
            whole.update(chunk)
            if not shared:
                _write_sparsely(copied, chunk, original.tell() - len(chunk))
            progress(original.tell())
        copied.truncate(original.tell())
    return whole.hexdigest()


def _write_sparsely(copied: BinaryIO, chunk: bytes, at: int) -> None:
    for start in range(0, len(chunk), len(HOLE)):
        block = chunk[start : start + len(HOLE)]
        if block != HOLE[: len(block)]:
            copied.seek(at + start)
            copied.write(block)


def _share(source: Path, target: Path) -> bool:
    try:
        clone(source, target)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        return False
    return True
