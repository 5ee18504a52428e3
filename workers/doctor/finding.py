"""A finding: one thing that was looked at on this machine, and what to do where it is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "bad"]
"""``note``: Puchify works without it, only not as well. ``bad``: `puchify up` could not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``mend`` is empty where there is nothing to mend."""

    name: str
    state: State
    found: str
    mend: str = ""


def ok(name: str, found: str) -> Finding:
    return Finding(name, "ok", found)


def lacking(name: str, needed: bool, found: str, mend: str) -> Finding:
    """Bad where it is needed, a note where it is not."""
    return Finding(name, "bad" if needed else "note", found, mend)
