"""The course of a region: a stream of orders placed by one strategy, and what its hosts looked like meanwhile.

Servers come and go; after the last of those orders nobody goes any more and the stream goes on until an order finds no
host. A host's utilisation is the mean of the shares of its cores, memory and disk that are promised.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from infra.domain.host_table import HostTable, Numbers
from infra.domain.models import Resources
from infra.domain.placement import Ask
from tests.bench.placement.orders import ARCHITECTURE, NOW, Order
from tests.bench.placement.strategies import Strategy

KINDS = ("cores", "memory_mib", "disk_gib")
TEAM = 3
"""From how many servers on a project should not be in one rack."""


@dataclass(frozen=True, slots=True)
class Course:
    """Shares and coefficients of variation (standard deviation over mean), both in [0, 1] and over hosts.

    ``mean``, ``low``, ``high``: of utilisation after each order, with its 5th and 95th percentile. ``unevenness``: its
    coefficient of variation over the second half of the orders, at the mean; ``at_end``: after the last of them.
    ``one_rack``: how many of the projects that then have TEAM servers or more have all of them in one rack. ``fill``:
    what is promised at the first refusal, of whatever most is promised of. ``refused``: orders among the first ones
    that found no host.
    """

    mean: list[float]
    low: list[float]
    high: list[float]
    unevenness: float
    at_end: float
    one_rack: float
    fill: float
    refused: int


@dataclass(slots=True)
class Region:
    hosts: HostTable
    strategy: Strategy
    live: dict[int, tuple[Order, int]] = field(default_factory=dict)
    """By the order's number: the order, and its host's row."""
    projects: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def place(self, order: Order) -> bool:
        neighbours = tuple((int(self.hosts.ids[row]), count) for row, count in self.projects[order.project].items())
        row = self.strategy(self.hosts, Ask(ARCHITECTURE, order.resources, NOW, neighbours=neighbours))
        if row is None:
            return False
        self._promise(row, order.resources, 1)
        self.live[order.number] = order, row
        self.projects[order.project][row] += 1
        return True

    def delete(self, number: int) -> None:
        order, row = self.live.pop(number)
        self._promise(row, order.resources, -1)
        self.projects[order.project] -= Counter([row])

    def _promise(self, row: int, asked: Resources, times: int) -> None:
        host = self.hosts.at(row)
        used = {f"used_{kind}": getattr(host, f"used_{kind}") + times * getattr(asked, kind) for kind in KINDS}
        self.hosts = self.hosts.with_hosts([replace(host, **used)])

    def utilisation(self) -> Numbers:
        shares: Numbers = np.array([self.hosts.column(f"used_{kind}") / self.hosts.column(kind) for kind in KINDS])
        mean: Numbers = shares.mean(axis=0)
        return mean

    def fill(self) -> float:
        return max(float(self.hosts.column(f"used_{kind}").sum() / self.hosts.column(kind).sum()) for kind in KINDS)

    def one_rack(self) -> float:
        racks = self.hosts.words["rack"].codes
        teams = [list(rows) for rows in self.projects.values() if rows.total() >= TEAM]
        return sum(len(set(racks[rows])) == 1 for rows in teams) / len(teams)


def run(hosts: HostTable, strategy: Strategy, stream: Sequence[Order], first: int) -> Course:
    """``first``: how many of the orders come while others go. ValueError: the stream ends before the region is full."""
    region = Region(hosts, strategy)
    leaving = defaultdict(list)
    for order in stream[:first]:
        leaving[order.leaves].append(order.number)
    seen: list[Numbers] = []
    refused = 0
    for order in stream[:first]:
        for number in leaving[order.number]:
            if number in region.live:
                region.delete(number)
        refused += not region.place(order)
        seen.append(region.utilisation())
    utilisation = np.array(seen)
    uneven = utilisation.std(axis=1) / utilisation.mean(axis=1)
    low, high = np.percentile(utilisation, [5, 95], axis=1)
    one_rack = region.one_rack()
    if all(region.place(order) for order in stream[first:]):
        raise ValueError(f"{len(stream)} orders do not fill the region")
    return Course(
        utilisation.mean(axis=1).tolist(),
        low.tolist(),
        high.tolist(),
        float(uneven[first // 2 :].mean()),
        float(uneven[-1]),
        one_rack,
        region.fill(),
        refused,
    )
