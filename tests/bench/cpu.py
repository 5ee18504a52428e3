"""The processor time that each process takes: what a create costs, whatever else the machine is doing meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCHEDULED = 2
"""CPUCLOCK_SCHED: the clock of all threads of a process (linux/posix-timers.h)."""


@dataclass
class Meter:
    """``pid_dir``: of the supervisor whose processes are told apart; those they started count as theirs."""

    pid_dir: Path
    spent: dict[str, float] = field(default_factory=dict)
    """Milliseconds by process, while it was on."""

    @contextmanager
    def on(self) -> Iterator[None]:
        before = self._now()
        yield
        after = self._now()
        for name, clocks in after.items():
            spent = sum(clocks[pid] - before.get(name, {}).get(pid, 0.0) for pid in clocks)
            self.spent[name] = self.spent.get(name, 0.0) + spent

    def per(self, count: int) -> dict[str, float]:
        """For each of ``count`` creates. Of the bench's own process it is the client's share."""
        return {name: round(spent / count, 2) for name, spent in sorted(self.spent.items())}

    def _now(self) -> dict[str, dict[int, float]]:
        children = _children()
        clocks = {}
        for path in self.pid_dir.glob("*.pid"):
            pid = int(path.read_text().split()[0])
            clocks[path.stem] = _clocks([pid, *children.get(pid, [])])
        return {**clocks, "client": _clocks([os.getpid()])}


def _clocks(pids: list[int]) -> dict[int, float]:
    clocks = {}
    for pid in pids:
        try:
            clocks[pid] = time.clock_gettime(~pid << 3 | SCHEDULED) * 1000
        except OSError:
            continue  # it has ended
    return clocks


def _children() -> Mapping[int, list[int]]:
    """By parent. Guests are nobody's: libvirt lets go of its QEMUs."""
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        found.setdefault(parent, []).append(int(path.parent.name))
    return found
