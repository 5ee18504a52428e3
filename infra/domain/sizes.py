"""Sizes in bytes that read well: "256 MiB", "20 TiB"."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNITS = {"B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("kMGTP", 1)}}
UNITS |= {f"{letter}iB": 1024**power for power, letter in enumerate("KMGTP", 1)}
SHOWN = ("PiB", "TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB", "B")
MIB, GIB = UNITS["MiB"], UNITS["GiB"]
MOST = 2**62


@dataclass(frozen=True, slots=True)
class Size:
    bytes: int

    def __str__(self) -> str:
        """In the unit that gives the smallest whole number."""
        if self.bytes == 0:
            return "0 B"
        whole = [unit for unit in SHOWN if self.bytes % UNITS[unit] == 0]
        best = min(whole, key=lambda unit: self.bytes // UNITS[unit])
        return f"{self.bytes // UNITS[best]} {best}"


def parse_size(text: str) -> Size:
    """ValueError: no whole number with a unit, or more than ``MOST`` bytes."""
    found = re.fullmatch(r"(\d{1,19}) ?([A-Za-z]+)", text, re.ASCII)
    if found is None or found[2] not in UNITS:
        raise ValueError("must be a whole number and a unit, as in '512 MiB' or '20 TiB'")
    size = Size(int(found[1]) * UNITS[found[2]])
    if size.bytes > MOST:
        raise ValueError("is too large")
    return size
