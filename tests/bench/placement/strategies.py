"""The strategies: ours, and three that it is held against. Each takes one of the hosts that pass our filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from infra.domain.host_table import Codes, HostTable
from infra.domain.placement import FILTERS, Ask, rank

Strategy = Callable[[HostTable, Ask], int | None]
"""Gives the host's row; None: there is no room."""


def fitting(hosts: HostTable, ask: Ask) -> Codes:
    return np.flatnonzero(np.all([stays(hosts, ask) for stays in FILTERS.values()], axis=0))


def ours(seed: int) -> Strategy:
    def choose(hosts: HostTable, ask: Ask) -> int | None:
        ranking = rank(hosts, ask)
        return int(ranking.order[0]) if len(ranking) else None

    return choose


def at_random(seed: int) -> Strategy:
    draw = np.random.default_rng(seed)

    def choose(hosts: HostTable, ask: Ask) -> int | None:
        fit = fitting(hosts, ask)
        return int(draw.choice(fit)) if len(fit) else None

    return choose


def first_fit(seed: int) -> Strategy:
    """The lowest id."""

    def choose(hosts: HostTable, ask: Ask) -> int | None:
        fit = fitting(hosts, ask)
        return int(fit[0]) if len(fit) else None

    return choose


def nova_style(seed: int) -> Strategy:
    """Free cores, memory and disk before placement, each over the most that a candidate has, and summed.

    That is OpenStack Nova's ``normalize`` (nova/weights.py) with the ``minval = 0`` of its CPU, RAM and disk weighers
    (nova/scheduler/weights/) and its default multipliers of 1.0: relative weights, which other hosts change. Nova's
    placement service filters first. Ties go to the lowest id.
    """

    def choose(hosts: HostTable, ask: Ask) -> int | None:
        fit = fitting(hosts, ask)
        if not len(fit):
            return None
        free = [
            (hosts.column(name) - hosts.column(f"used_{name}"))[fit] for name in ("cores", "memory_mib", "disk_gib")
        ]
        return int(fit[np.argmax(sum(room / room.max() for room in free))])

    return choose


STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "ours": ours,
    "random": at_random,
    "first-fit": first_fit,
    "nova-style": nova_style,
}
"""By name, each out of a seed, which only one of them needs."""
