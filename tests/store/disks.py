"""Raw disks with data where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

MIB = 2**20


def sparse_disk(path: Path, size: int, runs: Iterable[tuple[int, int]]) -> Path:
    """``runs`` of random data: (offset, length) each."""
    with path.open("wb") as disk:
        disk.truncate(size)
        for offset, length in runs:
            disk.seek(offset)
            disk.write(os.urandom(length))
    return path
