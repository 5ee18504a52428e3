"""The children at a store, as the kernel sees them, and the mount that they hang at."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0  # seconds


def thaw(mount: Path) -> None:
    subprocess.run(("fsfreeze", "--unfreeze", str(mount)), check=True)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - nobody tells of other processes
            await asyncio.sleep(0.01)


def children() -> list[int]:
    """Processes at a store that this one started."""
    found = subprocess.run(
        ("pgrep", "-P", str(os.getpid()), "-f", "infra.drivers.store.child"), capture_output=True, text=True
    )
    return [int(pid) for pid in found.stdout.split()]
