"""Durability: what is finished is on the disk before anything says that it is finished."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Let a finished file, or a directory's names, survive a power cut. OSError: what was written may be lost."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
