"""What is mounted where, as the kernel tells it: /proc/self/mountinfo (proc(5))."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")


def mount_of(path: Path, mountinfo: str | None = None) -> tuple[str, str]:
    """The kind of the file system that ``path`` is on, and where that is mounted. ``path`` has no symbolic links."""
    best = ("unknown", "")
    for line in (MOUNTS.read_text() if mountinfo is None else mountinfo).splitlines():
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split()[4])
        if path.is_relative_to(point) and len(point) >= len(best[1]):  # of two on one point the last one counts
            best = after.split()[0], point
    return best


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
