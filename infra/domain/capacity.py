"""Capacity: what is free in a location, in its zones and racks, and how many servers of each type still fit there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infra.domain.host_table import Flags, HostTable
from infra.domain.models import Resources
from infra.domain.placement import FILTERS, Ask, room_of


@dataclass(frozen=True, slots=True)
class Plan:
    """A server type as capacity counts it."""

    name: str
    architecture: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class Room:
    """What is free at a place. ``zone`` and ``rack`` None: in all of them. ``open``: hosts that take servers now.

    ``free``: the sums over open hosts, cores with overcommit. ``biggest``: the biggest plan that fits on one host, by
    memory, then cores, then disk; None: none does. ``fits``: how many servers of each plan would, if of that plan only.
    """

    zone: str | None
    rack: str | None
    hosts: int
    open: int
    free: Resources
    biggest: str | None
    fits: Mapping[str, int]


def rooms(hosts: HostTable, now: float, plans: Sequence[Plan]) -> list[Room]:
    """The location, then each of its zones, each with its racks; by name."""
    opened = _open(hosts, now)
    return [_room(hosts, place, opened, plans, zone, rack) for zone, rack, place in _places(hosts)]


def _open(hosts: HostTable, now: float) -> Flags:
    ask = Ask("", Resources(0, 0, 0), now)
    opened: Flags = FILTERS["state"](hosts, ask) & FILTERS["report"](hosts, ask)
    return opened


def _places(hosts: HostTable) -> Iterator[tuple[str | None, str | None, Flags]]:
    yield None, None, np.ones(len(hosts), dtype=np.bool_)
    zones, racks = hosts.words["availability_zone"], hosts.words["rack"]
    for zone in zones.known:
        in_zone = zones.are(zone)
        yield zone, None, in_zone
        for rack in racks.known:
            in_rack = in_zone & racks.are(rack)
            if in_rack.any():
                yield zone, rack, in_rack


def _room(
    hosts: HostTable, place: Flags, opened: Flags, plans: Sequence[Plan], zone: str | None, rack: str | None
) -> Room:
    here = place & opened
    room = room_of(hosts)
    fits = {plan.name: _how_many(hosts, here, plan) for plan in plans}
    by_size = sorted(plans, key=lambda plan: (plan.resources.memory_mib, plan.resources.cores, plan.resources.disk_gib))
    return Room(
        zone,
        rack,
        hosts=int(place.sum()),
        open=int(here.sum()),
        free=Resources(*(int(free) for free in np.maximum(room[:, here], 0).sum(axis=1))),
        biggest=next((plan.name for plan in reversed(by_size) if fits[plan.name]), None),
        fits=fits,
    )


def _how_many(hosts: HostTable, here: Flags, plan: Plan) -> int:
    """Of this plan alone, one host after the other filled."""
    able = here & hosts.words["architecture"].are(plan.architecture)
    want = plan.resources
    asked = np.array([[want.cores], [want.memory_mib], [want.disk_gib]], dtype=np.float64)
    each = np.maximum(room_of(hosts)[:, able] // asked, 0).min(axis=0)
    return int(each.sum())
