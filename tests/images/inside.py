"""What is tried from inside of the confinement: little programs for the Python of the system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.drivers.confined import Bounds, Ended, run_confined

PYTHON = Path("/usr/bin/python3")
LIBRARY = f"/usr/lib/{PYTHON.resolve().name}"
FOREIGN = next(str(path) for path in Path("/usr/lib").glob("*/libffi.so.8"))  # which ctypes is linked with
BOUNDS = Bounds(memory=2**29, cpu=20, file_size=2**20)


async def inside(
    program: str,
    *arguments: str,
    bounds: Bounds = BOUNDS,
    readable: Mapping[str, Path] | None = None,
    writable: Mapping[str, Path] | None = None,
) -> tuple[str, Ended]:
    """What it printed, and how it ended."""
    printed: list[bytes] = []
    ended = await run_confined(
        PYTHON,
        *("-I", "-S", "-c", program, *arguments),
        bounds=bounds,
        readable={LIBRARY: Path(LIBRARY), FOREIGN: Path(FOREIGN), **(readable or {})},
        writable=writable,
        heard=printed.append,
    )
    return b"".join(printed).decode(), ended
