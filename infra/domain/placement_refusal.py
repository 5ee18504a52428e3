"""Why no host takes a server, said to its owner: how many hosts each filter drops, and the smallest change that fits.

Hosts are counted, never named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from infra.domain.models import Resources
from infra.domain.placement import FILTERS, Ranking, rank, room_of

REASONS: dict[str, tuple[str, str]] = {
    "state": ("is not accepting", "are not accepting"),
    "report": ("is not reporting", "are not reporting"),
    "architecture": ("has another architecture", "have another architecture"),
    "excluded": ("was tried already", "were tried already"),
    "placement_group": ("holds a server of the placement group", "hold servers of the placement group"),
    "cores": ("lacks cores", "lack cores"),
    "memory": ("lacks memory", "lack memory"),
    "disk": ("lacks disk", "lack disk"),
    "free_memory": ("has too little memory really free", "have too little memory really free"),
    "free_disk": ("has too little disk really free", "have too little disk really free"),
}
"""What a drop is called to the user, for one host and for more."""

ROOM = ("cores", "memory", "disk", "free_memory", "free_disk")
"""The filters that a smaller server may pass."""
GB = 1024
STEP = GB // 4
"""MiB: memory is told in quarters of a GB, so less than that is no smaller server."""


@dataclass(frozen=True, slots=True)
class Smaller:
    """A server that would fit on ``hosts`` hosts now. ``resources``: as asked, but for what had to be less."""

    resources: Resources
    hosts: int


def explain_refusal(ranking: Ranking, location: str) -> tuple[str, dict[str, Any]]:
    """A message for the user and its details."""
    want = ranking.ask.resources
    counts = {name: count for name, count in ranking.dropped.items() if count}
    smaller = smallest_change(ranking)
    apart = outside_group(ranking)
    details = {
        "location": location,
        "requested": asdict(want),
        "hosts": len(ranking.hosts),
        "dropped": counts,
        "fits": {**asdict(smaller.resources), "hosts": smaller.hosts} if smaller else None,
    }
    asked = f"{_count(want.cores, 'core')}, {_gb(want.memory_mib)} memory and {want.disk_gib} GB disk"
    why = _reasons(counts, len(ranking.hosts)) if counts else f"location {location} has no hosts"
    message = f"no host can take {asked} now: {why}"
    if smaller:
        message += f"; {_changed(want, smaller.resources)} {_fit(smaller.hosts)}"
    elif apart:
        message += f"; outside its placement group it {_fit(apart)}"
    return message, details


def smallest_change(ranking: Ranking) -> Smaller | None:
    """The server nearest to the one asked for that fits somewhere: of all hosts that lack only room, it is for the one
    where the least is given up, as the sum of the shares of cores, memory and disk. None: no host lacks only room."""
    hosts, want = ranking.hosts, ranking.ask.resources
    others = [row for row, name in enumerate(FILTERS) if name not in ROOM]
    asked = np.array([[want.cores], [want.memory_mib], [want.disk_gib]], dtype=np.float64)
    room = room_of(hosts)
    room[1] = np.floor(room[1] / STEP) * STEP
    fits = np.minimum(asked, room)
    possible = ranking.passed[others].all(axis=0) & (fits >= [[1], [STEP], [1]]).all(axis=0)
    if not possible.any():
        return None
    given_up = ((asked - fits) / asked).sum(axis=0)
    best = int(np.argmin(np.where(possible, given_up, np.inf)))
    resources = Resources(*(int(value) for value in fits[:, best]))
    return Smaller(resources, len(rank(hosts, replace(ranking.ask, resources=resources), ranking.weights)))


def outside_group(ranking: Ranking) -> int:
    """How many hosts would take the server if it were in no placement group."""
    if ranking.ask.group is None:
        return 0
    return len(rank(ranking.hosts, replace(ranking.ask, group=None), ranking.weights))


def _reasons(counts: dict[str, int], hosts: int) -> str:
    most_first = sorted(counts.items(), key=lambda reason: -reason[1])
    told: Iterable[str] = (f"{count} {REASONS[name][count > 1]}" for name, count in most_first)
    return f"of {_count(hosts, 'host')} {', '.join(told)}"


def _changed(want: Resources, less: Resources) -> str:
    parts = [
        _count(less.cores, "core") if less.cores < want.cores else "",
        f"{_gb(less.memory_mib)} memory" if less.memory_mib < want.memory_mib else "",
        f"{less.disk_gib} GB disk" if less.disk_gib < want.disk_gib else "",
    ]
    return " and ".join(part for part in parts if part)


def _fit(hosts: int) -> str:
    return f"fits on {hosts}" if hosts else "fits nowhere"


def _gb(mib: int) -> str:
    return f"{mib / GB:g} GB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
