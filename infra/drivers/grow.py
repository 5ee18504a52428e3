"""Room for a guest: its disk made longer, and its root partition and the ext4 in it with the disk. Offline, blocking.

Only what is certain is done: a root that is no ext4, and a disk whose table is not known, are left to the guest, which
finds free room at the end. Nothing is mounted, no kernel ever looks at the guest's bytes, and no format is guessed.
The one thing that interprets them is e2fsprogs, on a file with the file system alone, and held down (tools.py).
"""

from __future__ import annotations

import os
from pathlib import Path

from infra.domain.partitions import Partition, grown, read_table, root_to_grow
from infra.drivers.reflink import BLOCK, clone_range
from infra.drivers.tools import ToolFailed, run_tool

SECTOR = 512
EXT_MAGIC_AT, EXT_MAGIC = 1024 + 56, b"\x53\xef"
CORRECTED = 1  # e2fsck: errors were corrected


class GrowError(Exception):
    """The file system cannot be enlarged; the message has a tool's words."""


def grow(disk: Path, size: int) -> None:
    """Make ``disk`` ``size`` bytes long, and let its root fill it. CannotGrow: something lies behind the root.

    Beside it a file is made, called as it is with ``.root`` added, and removed.
    """
    before = disk.stat().st_size
    if before == size:
        return
    with disk.open("r+b", buffering=0) as file:
        handle = file.fileno()
        root, writes = _plan(handle, before, size)
        if root is None:
            file.truncate(size)
            return
        longer, alone = root[1], disk.with_name(f"{disk.name}.root")
        try:
            _take_out(handle, root[0], longer.sectors * SECTOR, alone)
            _grow_ext(alone)
            file.truncate(longer.start * SECTOR)  # nothing lies behind the root but what is written anew
            file.truncate(size)
            _put_back(alone, handle, longer)
        finally:
            alone.unlink(missing_ok=True)
        for offset, content in writes:
            os.pwrite(handle, content, offset)


def _plan(handle: int, before: int, size: int) -> tuple[tuple[Partition, Partition] | None, list[tuple[int, bytes]]]:
    """The root as it is and as it will be, when it is one that can be grown here; and what is to be written."""

    def read(offset: int, length: int) -> bytes:
        return os.pread(handle, length, offset)

    table = read_table(read, before)
    if table is None:
        whole = Partition(0, 0, before // SECTOR, True, 0)
        longer = Partition(0, 0, size // SECTOR, True, 0)
        return ((whole, longer) if _is_ext(handle, whole) else None), []
    root = root_to_grow(table)
    if root is None or not _is_ext(handle, root):
        return None, []
    longer, writes = grown(read, table, root, size)
    return (root, longer), writes


def _is_ext(handle: int, partition: Partition) -> bool:
    return os.pread(handle, 2, partition.start * SECTOR + EXT_MAGIC_AT) == EXT_MAGIC


def _take_out(disk: int, root: Partition, size: int, alone: Path) -> None:
    """The root in a file of its own, which is ``size`` bytes long: blocks are shared, so this takes no time."""
    alone.unlink(missing_ok=True)
    with alone.open("x+b", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)
        clone_range(disk, root.start * SECTOR, root.sectors * SECTOR, file.fileno(), 0)
        file.truncate(size // BLOCK * BLOCK)


def _put_back(alone: Path, disk: int, root: Partition) -> None:
    with alone.open("rb", buffering=0) as file:
        clone_range(file.fileno(), 0, os.fstat(file.fileno()).st_size, disk, root.start * SECTOR)


def _grow_ext(alone: Path) -> None:
    try:
        run_tool("e2fsck", "-f", "-p", on=alone, fine=(0, CORRECTED))
        run_tool("resize2fs", on=alone)
    except ToolFailed as error:
        raise GrowError(str(error)) from error
