"""The orders and the hosts: drawn from a seed, and the same for every strategy.

Plans are of the sizes that public clouds sell, small ones more often. Projects have one server or dozens, most of one
plan, half of them ordered in one go and the others as the project grows. Three in ten servers go soon, seven stay long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infra.domain.host_table import HostTable, HostView
from infra.domain.models import Resources

GIB = 1024
PLANS = {
    Resources(1, 2 * GIB, 20): 25,
    Resources(2, 4 * GIB, 40): 24,
    Resources(2, 8 * GIB, 80): 12,
    Resources(4, 8 * GIB, 80): 12,
    Resources(4, 16 * GIB, 160): 8,
    Resources(4, 32 * GIB, 80): 3,
    Resources(8, 16 * GIB, 160): 6,
    Resources(8, 32 * GIB, 240): 4,
    Resources(8, 64 * GIB, 160): 2,
    Resources(16, 32 * GIB, 320): 2.5,
    Resources(16, 64 * GIB, 360): 1.5,
}
"""How often each is a project's usual one."""
SIZES = {(1, 1): 35, (2, 2): 15, (3, 5): 25, (6, 12): 15, (13, 40): 10}
"""Servers of a project, from and to, and how often."""
USUAL = 0.7
"""The share of a project's servers that are of its usual plan."""
SOON, STAY = 300.0, 10_000.0
"""How long servers live, counted in orders, at the mean."""
STAYING = 0.7

ARCHITECTURE, NOW = "x86", 1.0
"""Every host has just reported: load and age are the same for all, as this is about room and failure domains."""
ZONES, RACKS, HOSTS = 3, 20, 200
FLEETS: Mapping[str, Mapping[Resources, int]] = {
    "uniform": {Resources(80, 256 * GIB, 2_000): 20},
    "mixed": {
        Resources(48, 192 * GIB, 1_200): 8,
        Resources(80, 256 * GIB, 2_000): 8,
        Resources(160, 448 * GIB, 4_000): 4,
    },
}
"""What a host may promise, and how many racks have such hosts."""


@dataclass(frozen=True, slots=True)
class Order:
    """``leaves``: the number of the order before which the server is deleted."""

    number: int
    project: int
    resources: Resources
    leaves: int


def orders(seed: int, count: int) -> list[Order]:
    """The first ``count`` of the stream; a longer one of the same seed does not begin the same."""
    draw = np.random.default_rng(seed)
    plans, usual = list(PLANS), np.array(list(PLANS.values())) / sum(PLANS.values())
    sizes, often = list(SIZES), np.array(list(SIZES.values())) / sum(SIZES.values())
    wanted: list[tuple[float, int, Resources]] = []
    project = 0
    while len(wanted) < count:
        project += 1
        begins, size = draw.random(), int(draw.integers(*sizes[draw.choice(len(sizes), p=often)], endpoint=True))
        home = draw.choice(len(plans), p=usual)
        for server in range(size):
            plan = home if draw.random() < USUAL else draw.choice(len(plans), p=usual)
            later = 0.0 if server < size / 2 else draw.exponential(0.05)
            wanted.append((begins + later, project, plans[plan]))
    wanted.sort(key=lambda order: order[:2])
    lives = draw.exponential(np.where(draw.random(count) < STAYING, STAY, SOON))
    return [
        Order(number, project, resources, number + 1 + int(lives[number]))
        for number, (_, project, resources) in enumerate(wanted[:count])
    ]


def fleet(name: str, seed: int, hosts: int = HOSTS) -> HostTable:
    """Racks came one after the other, each with hosts that are alike; which rack got which is drawn."""
    bought = [size for size, racks in FLEETS[name].items() for _ in range(racks)]
    racks = [bought[drawn] for drawn in np.random.default_rng(seed).permutation(RACKS)]
    return HostTable.of(_host(number, number * RACKS // hosts, racks) for number in range(hosts))


def _host(number: int, rack: int, racks: list[Resources]) -> HostView:
    """Two racks share a switch, where they stand in the same zone."""
    return HostView(
        id=number + 1,
        state="accepting",
        architecture=ARCHITECTURE,
        availability_zone=f"zone-{rack * ZONES // RACKS + 1}",
        rack=f"rack-{rack + 1}",
        switch=f"switch-{rack // 2 + 1}",
        cores=racks[rack].cores,
        memory_mib=racks[rack].memory_mib,
        disk_gib=racks[rack].disk_gib,
        reported=NOW,
    )
