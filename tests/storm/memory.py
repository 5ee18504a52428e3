"""What processes hold in memory, round after round: those that nobody kills show whether they leak."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from tests.fix_deployment import Deployment

PAGE = os.sysconf("SC_PAGE_SIZE")
CLUSTERS = ("postgres", "temporal")


@dataclass
class Memory:
    """``taken``: by process, MiB resident after each round, with the process it was then."""

    deployment: Deployment
    taken: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def take(self) -> None:
        names = [*CLUSTERS, *(name for crew in self.deployment.crew.values() for name in crew)]
        for name in names:
            pid = self.deployment.pid(name)
            self.taken.setdefault(name, []).append((pid, _resident_mib(pid)))

    def __str__(self) -> str:
        """A line a process; growth since its first round for one that is still the same, else its end is told."""
        lines = ["memory in MiB after each round (|: killed and started again since)"]
        for name, taken in self.taken.items():
            pids = [None, *(pid for pid, _ in taken)]
            marks = ["| " if before not in (None, pid) else "  " for before, (pid, _) in zip(pids, taken, strict=False)]
            told = "".join(f"{mark}{mib:>5}" for mark, (_, mib) in zip(marks, taken, strict=True))
            lived_on = taken[0][0] == taken[-1][0] and len(taken) > 1
            grown = f"   {taken[-1][1] - taken[0][1]:+d}" if lived_on else ""
            lines.append(f"  {name:<10}{told}{grown}")
        return "\n".join(lines)


def _resident_mib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE >> 20
