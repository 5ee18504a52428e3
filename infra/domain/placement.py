"""Placement: which host a server should live on, decided purely, so that anyone can recompute it from the same input.

First every host passes the filters, in their order; each host that drops out is counted where it first does. Those left
are ranked by one score, the weighted sum of terms in [0, 1]. A term looks at its own host alone, so another host more
or less never reorders two others. Ties go to the lowest host id. There is no randomness and no clock in here.

    term      weight  formula                                                          unit of what goes in
    headroom  0.42    (1 - max(c, m, d, rm, rd)) * (1 - u)                             shares after placement
    calm      0.24    (1 - max(cpu_busy, io_wait, net_saturation)) * trust             shares of time, of the link
    spread    0.06    1 - mean of n / N over zone, rack and switch                     n: of the project's N servers
    density   0.28    1 while max(C, M, D) <= target, then max(0, u + target - 1)      shares before, after placement

c, m, d: promised plus asked over capacity, of cores (with overcommit), memory and disk; u: their mean; C, M, D: the
same before the server comes; rm, rd: memory and disk really used plus asked, over the same, where the host says. A
server of a placement group adds the group's share in the rack to spread's mean. trust: 1 for a report up to 45 s old
(one that is merely late), falling linearly to 0 at 90 s, when the host is not asked any more.

Why so, and what the weights make of it (``make bench-placement`` has the figures):

    headroom  The smallest free share, so that nothing runs out while the rest lies idle, times the mean free share, so
              that hosts of all sizes fill alike. The product is steep among empty hosts and flat among full ones.
    calm      A host that is busy all the time loses to calm ones that are fuller by up to 25 % of a host.
    spread    How much of the project fails together with the host's domains. Light: of many hosts some elsewhere are
              about as empty, and among these it decides. For a second server, where hosts are half full, another rack
              and switch are worth 9 % of a host and another zone 14 %.
    density   A host at or under its location's target comes before those above it (at targets from 0.3 on). Above it,
              of evenly used hosts the fuller comes first (at targets from 0.7 on): one is filled up after the other,
              and in the rest stay holes for big servers. So beyond its target a region is uneven on purpose.

The form is that of the Kubernetes scheduler's bounded scores (noderesources/least_allocated.go; most_allocated.go
for density above the target).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from infra.domain.host_table import UNKNOWN, Codes, Flags, HostTable, Numbers
from infra.domain.models import Resources


@dataclass(frozen=True, slots=True)
class Weights:
    """``version`` changes with every change of a weight or of a formula."""

    version: str
    headroom: float
    calm: float
    spread: float
    density: float


WEIGHTS = Weights("2", headroom=0.42, calm=0.24, spread=0.06, density=0.28)
TERMS = ("headroom", "calm", "spread", "density")

ROOM = ("cores", "memory_mib", "disk_gib")
LATE_S, STALE_S = 45.0, 90.0
"""Hosts report every 30 s: older than LATE_S a report is trusted less and less, older than STALE_S not at all."""
EXPLAINED = 5
"""How many of the best hosts a stored decision shows."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What to place, and what of the rest of the world bears on it. ``now``: seconds on the clock of the reports.

    ``density_target``: the location's, in (0, 1]. ``excluded``: hosts that failed this order. ``neighbours``: hosts
    that hold servers of the project, and how many. ``group``: the same for its placement group; None: it is in none.
    """

    architecture: str
    resources: Resources
    now: float
    density_target: float = 0.75
    excluded: tuple[int, ...] = ()
    neighbours: tuple[tuple[int, int], ...] = ()
    group: tuple[tuple[int, int], ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Not by ``asdict``, which copies each of a large project's neighbours."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**told, "resources": asdict(self.resources)}


Filter = Callable[[HostTable, Ask], Flags]


def _are(name: str, hosts: HostTable, word: str) -> Flags:
    return hosts.words[name].are(word)


def _none_of(hosts: HostTable, ids: tuple[int, ...]) -> Flags:
    stays = np.ones(len(hosts), dtype=np.bool_)
    rows = hosts.rows(ids)
    stays[rows[rows != UNKNOWN]] = False
    return stays


def _takes(name: str, hosts: HostTable, asked: int) -> Flags:
    fits: Flags = hosts.column(f"used_{name}") + asked <= hosts.column(name)
    return fits


def _has(name: str, hosts: HostTable, asked: int) -> Flags:
    free = hosts.column(name)
    has: Flags = (free == UNKNOWN) | (free >= asked)
    return has


FILTERS: Mapping[str, Filter] = {
    "state": lambda hosts, ask: _are("state", hosts, "accepting"),
    "report": lambda hosts, ask: ask.now - hosts.column("reported") <= STALE_S,
    "architecture": lambda hosts, ask: _are("architecture", hosts, ask.architecture),
    "excluded": lambda hosts, ask: _none_of(hosts, ask.excluded),
    "placement_group": lambda hosts, ask: _none_of(hosts, tuple(id for id, _ in ask.group or ())),
    "cores": lambda hosts, ask: _takes("cores", hosts, ask.resources.cores),
    "memory": lambda hosts, ask: _takes("memory_mib", hosts, ask.resources.memory_mib),
    "disk": lambda hosts, ask: _takes("disk_gib", hosts, ask.resources.disk_gib),
    "free_memory": lambda hosts, ask: _has("free_memory_mib", hosts, ask.resources.memory_mib),
    "free_disk": lambda hosts, ask: _has("free_disk_gib", hosts, ask.resources.disk_gib),
}
"""Which hosts stay. Those that say something of the host come before those that say something of its room: promised
room, which the claim guards, and then what is really free, which nothing guards."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """``order``: the rows of the hosts that fit, best first. ``passed``: a row a filter, a column a host. ``terms``: a
    row a term, a column a host, of hosts that do not fit as well; ``scores``: their weighted sums."""

    hosts: HostTable
    ask: Ask
    weights: Weights
    passed: Flags
    terms: Numbers
    scores: Numbers
    order: Codes

    def __iter__(self) -> Iterator[int]:
        """The ids of the hosts that fit, best first."""
        return map(int, self.hosts.ids[self.order])

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def dropped(self) -> dict[str, int]:
        """By filter, in their order: how many hosts it was the first to drop."""
        first = np.where(self.passed.all(axis=0), len(FILTERS), self.passed.argmin(axis=0))
        counts = np.bincount(first, minlength=len(FILTERS) + 1)
        return dict(zip(FILTERS, counts.tolist(), strict=False))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that went in."""
        told = hashlib.sha256(json.dumps([asdict(self.weights), self.ask.as_json()], sort_keys=True).encode())
        told.update(self.hosts.digest())
        return told.hexdigest()

    def terms_of(self, row: int) -> dict[str, float]:
        return {name: round(float(term), 6) for name, term in zip(TERMS, self.terms[:, row], strict=True)}

    def as_json(self) -> dict[str, Any]:
        """What the books keep: enough to see why, and to check a recomputation."""
        return {
            "weights_version": self.weights.version,
            "input_digest": self.digest,
            "candidates": len(self),
            "dropped": self.dropped,
            "best": [
                {
                    "host_id": int(self.hosts.ids[row]),
                    "score": round(float(self.scores[row]), 6),
                    "terms": self.terms_of(row),
                }
                for row in self.order[:EXPLAINED]
            ],
        }


def rank(hosts: HostTable, ask: Ask, weights: Weights = WEIGHTS) -> Ranking:
    """Filter and score all hosts of the location."""
    passed = np.array([stays(hosts, ask) for stays in FILTERS.values()], dtype=np.bool_)
    terms = _terms(hosts, ask)
    scores = weights.headroom * terms[0] + weights.calm * terms[1] + weights.spread * terms[2]
    scores = scores + weights.density * terms[3]
    fit = np.flatnonzero(passed.all(axis=0))
    order = fit[np.argsort(-scores[fit], kind="stable")]  # equal scores stay in the order of their ids
    return Ranking(hosts, ask, weights, passed, terms, scores, order)


def _terms(hosts: HostTable, ask: Ask) -> Numbers:
    """The table above, in its order. A host without any of something is full of it."""
    want, capacity = ask.resources, {name: hosts.column(name) for name in ROOM}
    asked = {"cores": want.cores, "memory_mib": want.memory_mib, "disk_gib": want.disk_gib}
    before = np.array([_share(hosts.column(f"used_{name}"), capacity[name]) for name in ROOM])
    after = np.array([_share(hosts.column(f"used_{name}") + asked[name], capacity[name]) for name in ROOM])
    really = [_share(_really_used(name, hosts) + asked[name], capacity[name]) for name in ("memory_mib", "disk_gib")]
    used = (after[0] + after[1] + after[2]) / 3
    headroom = (1 - np.max([*after, *really], axis=0)) * (1 - used)
    loads = np.array([hosts.column(name) for name in ("cpu_busy", "io_wait", "net_saturation")])
    calm = (1 - loads.max(axis=0)) * _trust(ask.now - hosts.column("reported"))
    above = np.maximum(0.0, used + ask.density_target - 1)
    density = np.where(before.max(axis=0) <= ask.density_target, 1.0, above)
    return np.array([headroom, calm, _spread(hosts, ask), density])


def room_of(hosts: HostTable) -> Numbers:
    """What each host can still take of cores, memory and disk: promised or really free, whichever is less."""
    room = []
    for name in ROOM:
        left = hosts.column(name) - hosts.column(f"used_{name}")
        if name != "cores":
            free = hosts.column(f"free_{name}")
            left = np.where(free == UNKNOWN, left, np.minimum(left, free))
        room.append(left)
    return np.array(room)


def _share(used: Numbers, capacity: Numbers) -> Numbers:
    shares: Numbers = np.divide(used, capacity, out=np.ones(len(used)), where=capacity > 0)
    return np.clip(shares, 0.0, 1.0)


def _really_used(name: str, hosts: HostTable) -> Numbers:
    """What is offered and not free any more; nothing where the host does not say."""
    free = hosts.column(f"free_{name}")
    return np.where(free == UNKNOWN, 0.0, hosts.column(name) - free)


def _trust(age: Numbers) -> Numbers:
    return np.clip((STALE_S - age) / (STALE_S - LATE_S), 0.0, 1.0)


def _spread(hosts: HostTable, ask: Ask) -> Numbers:
    zones, racks, switches = _domains(hosts)
    shares = [_beside(hosts, domain, ask.neighbours) for domain in (zones, racks, switches)]
    if ask.group is not None:
        shares.append(_beside(hosts, racks, ask.group))
    spread: Numbers = 1 - np.array(shares).mean(axis=0)
    return spread


def _domains(hosts: HostTable) -> tuple[Codes, Codes, Codes]:
    """The failure domains of each host, numbered: a rack and a switch are known by their names within their zone."""
    zone, rack, switch = (hosts.words[name] for name in ("availability_zone", "rack", "switch"))
    return (
        zone.codes,
        zone.codes * len(rack.known) + rack.codes,
        zone.codes * len(switch.known) + switch.codes,
    )


def _beside(hosts: HostTable, domain: Codes, holders: tuple[tuple[int, int], ...]) -> Numbers:
    """For each host: which share of the servers that ``holders`` hold are in its domain; 0 where they hold none."""
    rows = hosts.rows(id for id, _ in holders)
    here = rows != UNKNOWN
    servers = np.array([count for _, count in holders], dtype=np.float64)[here]
    if not servers.any():
        return np.zeros(len(hosts))
    counted = np.bincount(domain[rows[here]], weights=servers, minlength=int(domain.max()) + 1).astype(np.float64)
    beside: Numbers = counted[domain] / servers.sum()
    return beside
