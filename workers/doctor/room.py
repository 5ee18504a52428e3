"""Who we are, and how much room there is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from workers.doctor.finding import Finding, lacking, ok

GIB = 2**30
MEMORY_NEEDED, MEMORY_GOOD = 2.0, 4.0  # GiB: the engines and our processes take 1.2, a tiny guest a quarter
DISK_NEEDED, DISK_GOOD = 3.0, 20.0  # GiB: binaries and images take 1.5, books 0.5; disks of guests come on top


def user(needed: bool) -> Finding:
    if os.geteuid() == 0:
        return ok("user", "root")
    return lacking("user", needed, "not root: no real servers, only simulated ones", "run it as root")


def memory() -> Finding:
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(told["MemAvailable"].split()[0]) * 1024 / GIB
    found = f"{available:.1f} GiB available"
    if available >= MEMORY_GOOD:
        return ok("memory", found)
    mend = f"free some, or add some: {MEMORY_GOOD:g} GiB are comfortable"
    return lacking("memory", available < MEMORY_NEEDED, found, mend)


def disk(state: Path) -> Finding:
    place = next(path for path in (state.absolute(), *state.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free / GIB
    found = f"{free:.1f} GiB free below {state}"
    if free >= DISK_GOOD:
        return ok("disk", found)
    return lacking("disk", free < DISK_NEEDED, found, "free some, or set PUCHIFY_STATE to a place with more room")
