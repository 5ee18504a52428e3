"""What guests write to their serial consoles, kept short.

A guest may write there as much as it likes, and all guests share the room. QEMU appends to the file it has open, so
the file can be emptied under it; the end of what was written is kept, for whoever looks for the reason of a failure.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

LONGEST = 4 * 2**20  # bytes
KEPT = 256 * 2**10


def shorten(consoles: Path, longest: int = LONGEST, kept: int = KEPT) -> None:
    """Cut every log longer than ``longest`` to its last ``kept`` bytes. Blocking."""
    for path in consoles.glob("*.log"):
        with suppress(FileNotFoundError):  # its machine was destroyed meanwhile
            if path.stat().st_size > longest:
                _cut(path, kept)


def _cut(path: Path, kept: int) -> None:
    with path.open("rb") as written:
        written.seek(-kept, 2)
        end = written.read(kept)
    with path.open("r+b") as emptied:
        emptied.truncate(0)
    with path.open("ab") as appended:
        appended.write(end)
