"""Room for a guest: its disk made longer, and its last partition and the ext4 in it with the disk. Offline, blocking.

Only what is certain is done. A disk without a partition table, or whose last partition is no ext4, is left to the
guest, which then finds free room at the end. Nothing is mounted and no format is guessed.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.drivers.loop import loop_device

EXT_MAGIC_AT, EXT_MAGIC = 1024 + 56, b"\x53\xef"
CORRECTED = 1  # e2fsck: errors were corrected


class GrowError(Exception):
    """A tool gave up on the image; the message has its words."""


@dataclass(frozen=True, slots=True)
class Partition:
    number: int
    start: int  # bytes
    size: int  # bytes


def grow(disk: Path, size: int) -> None:
    """Make ``disk`` ``size`` bytes long, and let its last ext4 partition fill it."""
    os.truncate(disk, size)
    last = last_partition(disk)
    if last is None or not _is_ext(disk, last):
        return
    _run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "-N", str(last.number), str(disk), text=", +\n")
    last = last_partition(disk)
    assert last is not None
    # Through a device of exactly the partition's size: on a file with an offset resize2fs cuts off the file's end.
    with loop_device(disk, last.start, last.size) as device:
        _run("e2fsck", "-f", "-p", str(device), fine=(0, CORRECTED))
        _run("resize2fs", str(device))


def last_partition(disk: Path) -> Partition | None:
    """The partition that lies last on the disk; None without a partition table."""
    shown = subprocess.run(("sfdisk", "--json", str(disk)), capture_output=True, text=True)
    if shown.returncode != 0:
        return None
    table: dict[str, Any] = json.loads(shown.stdout)["partitiontable"]
    unit = int(table.get("sectorsize", 512))
    found = [
        Partition(_number(entry["node"], disk), entry["start"] * unit, entry["size"] * unit)
        for entry in table.get("partitions", [])
    ]
    return max(found, key=lambda partition: partition.start, default=None)


def _number(node: str, disk: Path) -> int:
    # sfdisk names them <disk><number>, with a p in between when the disk's name ends in a digit.
    return int(node.removeprefix(str(disk)).removeprefix("p"))


def _is_ext(disk: Path, partition: Partition) -> bool:
    with disk.open("rb") as file:
        file.seek(partition.start + EXT_MAGIC_AT)
        return file.read(2) == EXT_MAGIC


def _run(*argv: str, text: str = "", fine: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    if done.returncode not in fine:
        raise GrowError(
            f"`{' '.join(argv)}` ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-1000:]}"
        )
