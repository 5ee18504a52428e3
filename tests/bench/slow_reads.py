"""A disk that is read no faster than a replicated store: the kernel's throttle, for this process and those it starts.

With cgroups of version 1; where the machine has none, or version 2, nothing is slowed down and nothing is measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTROLLER = Path("/sys/fs/cgroup/blkio")


@contextmanager
def slow_reads(path: Path, per_second: int) -> Iterator[bool]:
    """Read the disk that ``path`` lies on at ``per_second`` bytes at most. Whether that could be had."""
    device, ours = path.stat().st_dev, CONTROLLER / f"puchify-bench-{os.getpid()}"
    try:
        before = _own_group()
        ours.mkdir()
    except OSError:
        yield False
        return
    try:
        try:
            (ours / "blkio.throttle.read_bps_device").write_text(f"{os.major(device)}:{os.minor(device)} {per_second}")
            (ours / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            yield False
            return
        yield True
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        ours.rmdir()


def _own_group() -> Path:
    """FileNotFoundError: there is no such controller."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "blkio" in controllers.split(","):
            return CONTROLLER / path.lstrip("/")
    raise FileNotFoundError("blkio")
