"""Placement: which host a server should live on, decided purely, so that anyone can recompute it from the same input.

First every host passes the filters, cheap ones first; each host that drops out is counted where it does. Those left
are ranked by one score, the weighted sum of terms in [0, 1]. A term looks at its own host alone, so another host more
or less never reorders two others. Ties go to the lowest host id. There is no randomness and no clock in here.

    term      weight  formula                                                          unit of what goes in
    headroom  0.4     1 - max(c, m, d)                                                 shares after placement
    calm      0.2     (1 - max(io_wait, net_saturation)) * trust                       shares of time, of the link
    spread    0.2     mean of 1 / (1 + n) over the rack and the switch                 n: the project's servers there
    density   0.2     1 while u <= target, then (1 - u) / (1 - target)                 u: mean of c, m, d

c, m, d: used plus asked over capacity, of cores (times overcommit), memory (MiB) and disk (GiB). trust: 1 for a report
up to 45 s old (one that is merely late), falling linearly to 0 at 90 s, when the host is not asked any more. Headroom
evens hosts out and density triples its pull above the target, so a region fills evenly up to its target first. The
form is that of the Kubernetes scheduler's bounded scores (noderesources/least_allocated.go, balanced_allocation.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import chain
from operator import attrgetter
from struct import Struct, pack
from typing import Any, NamedTuple

from infra.domain.models import Resources

WEIGHTS_VERSION = "1"
"""Changes with every change of a weight or a formula."""
HEADROOM, CALM, SPREAD, DENSITY = 0.4, 0.2, 0.2, 0.2
LATE_S, STALE_S = 45.0, 90.0
"""Hosts report every 30 s: older than LATE_S a report is trusted less and less, older than STALE_S not at all."""
EXPLAINED = 5
"""How many of the best hosts a stored decision shows."""


@dataclass(frozen=True, slots=True)
class HostView:
    """A host as the books have it. Memory in MiB, disk in GiB, loads in [0, 1]; ``report_age_s`` None: no report."""

    id: int
    location: str
    state: str
    architecture: str
    cores: int
    overcommit: float
    memory_mib: int
    disk_gib: int
    used_cores: int
    used_memory_mib: int
    used_disk_gib: int
    io_wait: float
    net_saturation: float
    report_age_s: float | None
    rack: str
    switch: str
    project_servers_in_rack: int
    project_servers_in_switch: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What to place. ``excluded``: hosts that failed this order. ``density_target``: the location's, in (0, 1]."""

    location: str
    architecture: str
    resources: Resources
    excluded: tuple[int, ...] = ()
    density_target: float = 0.75


class Scored(NamedTuple):
    """A host that fits, and each term before its weight. A tuple: made in a third of a dataclass's time."""

    host_id: int
    score: float
    headroom: float
    calm: float
    spread: float
    density: float

    @property
    def terms(self) -> dict[str, float]:
        return dict(zip(self._fields[2:], self[2:], strict=True))


@dataclass(frozen=True, slots=True)
class Decision:
    """``candidates``: every host that fits, best first. ``dropped``: every filter in its order, and its count."""

    candidates: tuple[Scored, ...]
    dropped: tuple[tuple[str, int], ...]
    weights_version: str
    input_digest: str

    def as_json(self) -> dict[str, Any]:
        """What the books keep: enough to see why, and to check a recomputation."""
        return {
            "weights_version": self.weights_version,
            "input_digest": self.input_digest,
            "candidates": len(self.candidates),
            "dropped": dict(self.dropped),
            "best": [
                {
                    "host_id": scored.host_id,
                    "score": round(scored.score, 6),
                    "terms": {name: round(term, 6) for name, term in scored.terms.items()},
                }
                for scored in self.candidates[:EXPLAINED]
            ],
        }


Filter = Callable[[Ask, HostView], bool]
FILTERS: tuple[tuple[str, Filter], ...] = (
    ("location", lambda ask, host: host.location == ask.location),
    ("state", lambda ask, host: host.state == "accepting"),
    ("report", lambda ask, host: host.report_age_s is not None and host.report_age_s <= STALE_S),
    ("architecture", lambda ask, host: host.architecture == ask.architecture),
    ("excluded", lambda ask, host: host.id not in ask.excluded),
    ("cores", lambda ask, host: host.used_cores + ask.resources.cores <= host.cores * host.overcommit),
    ("memory", lambda ask, host: host.used_memory_mib + ask.resources.memory_mib <= host.memory_mib),
    ("disk", lambda ask, host: host.used_disk_gib + ask.resources.disk_gib <= host.disk_gib),
)
"""Each says whether a host stays. Location first, so that the others count only its hosts; arithmetic last."""

REASONS: dict[str, tuple[str, str]] = {
    "state": ("is not accepting", "are not accepting"),
    "report": ("is not reporting", "are not reporting"),
    "architecture": ("has another architecture", "have another architecture"),
    "excluded": ("was tried already", "were tried already"),
    "cores": ("lacks cores", "lack cores"),
    "memory": ("lacks memory", "lack memory"),
    "disk": ("lacks disk", "lack disk"),
    "taken": ("was filled by others just now", "were filled by others just now"),
}
"""What a drop is called to the user, for one host and for more. "taken": the host fitted, but its claim lost a race."""


def rank(ask: Ask, hosts: Iterable[HostView]) -> Decision:
    """Filter and score; the order of ``hosts`` makes no difference."""
    left = looked_at = sorted(hosts, key=attrgetter("id"))
    dropped = []
    for name, stays in FILTERS:
        fitting = [host for host in left if stays(ask, host)]
        dropped.append((name, len(left) - len(fitting)))
        left = fitting
    scored = [score(ask, host) for host in left]
    scored.sort(key=attrgetter("score"), reverse=True)  # stable: equal scores stay in the order of their ids
    return Decision(tuple(scored), tuple(dropped), WEIGHTS_VERSION, digest(ask, looked_at))


def score(ask: Ask, host: HostView) -> Scored:
    """The table above, for a host that fits."""
    want = ask.resources
    cores = share(host.used_cores + want.cores, host.cores * host.overcommit)
    memory = share(host.used_memory_mib + want.memory_mib, host.memory_mib)
    disk = share(host.used_disk_gib + want.disk_gib, host.disk_gib)
    headroom = 1 - max(cores, memory, disk)
    calm = (1 - max(host.io_wait, host.net_saturation)) * trust(host.report_age_s)
    spread = (1 / (1 + host.project_servers_in_rack) + 1 / (1 + host.project_servers_in_switch)) / 2
    used, target = (cores + memory + disk) / 3, ask.density_target
    density = 1.0 if used <= target else (1 - used) / (1 - target)
    total = HEADROOM * headroom + CALM * calm + SPREAD * spread + DENSITY * density
    return Scored(host.id, total, headroom, calm, spread, density)


def share(used: float, capacity: float) -> float:
    """A host without any of something is full of it."""
    return used / capacity if capacity else 1.0


def trust(report_age_s: float | None) -> float:
    if report_age_s is None or report_age_s >= STALE_S:
        return 0.0
    return 1.0 if report_age_s <= LATE_S else (STALE_S - report_age_s) / (STALE_S - LATE_S)


NUMBERS = tuple(field.name for field in fields(HostView) if field.type in ("int", "float"))
WORDS = tuple(field.name for field in fields(HostView) if field.type == "str")
PACK = Struct(f"<{len(NUMBERS)}d").pack


def digest(ask: Ask, hosts: Sequence[HostView]) -> str:
    """SHA-256 over the question and the hosts in the order of their ids, in binary, which is faster than text."""
    numbers, words = attrgetter(*NUMBERS), attrgetter(*WORDS)
    ages = [-1.0 if host.report_age_s is None else host.report_age_s for host in hosts]
    sha = hashlib.sha256(repr((WEIGHTS_VERSION, astuple(ask), len(hosts))).encode())
    sha.update(pack(f"<{len(ages)}d", *ages))
    sha.update(b"".join([PACK(*numbers(host)) for host in hosts]))
    sha.update("\0".join(chain.from_iterable(map(words, hosts))).encode())
    return sha.hexdigest()


def explain_refusal(ask: Ask, decision: Decision) -> tuple[str, dict[str, Any]]:
    """Why no host takes the server: a message for the user and its details. Hosts are counted, never named."""
    counts = {name: count for name, count in decision.dropped if count and name != "location"}
    if decision.candidates:
        counts["taken"] = len(decision.candidates)
    hosts, want = sum(counts.values()), ask.resources
    asked = f"{want.cores} core{'s' * (want.cores != 1)}, {want.memory_mib} MiB and {want.disk_gib} GiB"
    most_first = sorted(counts.items(), key=lambda reason: -reason[1])
    reasons = ", ".join(f"{count} {REASONS[name][count > 1]}" for name, count in most_first)
    why = f"of {hosts} host{'s' * (hosts != 1)} {reasons}" if hosts else f"location {ask.location} has no hosts"
    requested = {"cores": want.cores, "memory_mib": want.memory_mib, "disk_gib": want.disk_gib}
    return (
        f"no host can take {asked} now: {why}",
        {"location": ask.location, "requested": requested, "hosts": hosts, "dropped": counts},
    )
