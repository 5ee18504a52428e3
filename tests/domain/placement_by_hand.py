"""Placement by hand: the table of ``infra/domain/placement.py`` once more, in plain Python and one host at a time.

Written from the words of its docstring, so that the fast one can be held against it.
"""

from __future__ import annotations

from infra.domain.host_table import UNKNOWN, HostView
from infra.domain.models import Resources
from infra.domain.placement import Ask


def reasons_against(host: HostView, ask: Ask) -> list[str]:
    """The filters that drop it, all of them, in their order."""
    want = ask.resources
    against = {
        "state": host.state != "accepting",
        "report": ask.now - host.reported > 90,
        "architecture": host.architecture != ask.architecture,
        "excluded": host.id in ask.excluded,
        "placement_group": host.id in dict(ask.group or ()),
        "cores": host.cores - host.used_cores < want.cores,
        "memory": host.memory_mib - host.used_memory_mib < want.memory_mib,
        "disk": host.disk_gib - host.used_disk_gib < want.disk_gib,
        "free_memory": host.free_memory_mib != UNKNOWN and host.free_memory_mib < want.memory_mib,
        "free_disk": host.free_disk_gib != UNKNOWN and host.free_disk_gib < want.disk_gib,
    }
    return [name for name, stands in against.items() if stands]


def terms_by_hand(host: HostView, region: list[HostView], ask: Ask) -> list[float]:
    """headroom, calm, spread, density."""
    promised = _promised(host, ask.resources)
    used, target = sum(promised) / 3, ask.density_target
    headroom = (1 - max(promised + _really(host, ask))) * (1 - used)
    density = 1.0 if max(_promised(host, Resources(0, 0, 0))) <= target else max(0.0, used + target - 1)
    trust = min(1.0, max(0.0, (90 - (ask.now - host.reported)) / 45))
    calm = (1 - max(host.cpu_busy, host.io_wait, host.net_saturation)) * trust
    return [headroom, calm, _spread(host, region, ask), density]


def _promised(host: HostView, asked: Resources) -> list[float]:
    return [
        _share(host.used_cores + asked.cores, host.cores),
        _share(host.used_memory_mib + asked.memory_mib, host.memory_mib),
        _share(host.used_disk_gib + asked.disk_gib, host.disk_gib),
    ]


def _really(host: HostView, ask: Ask) -> list[float]:
    said = [
        (host.free_memory_mib, host.memory_mib, ask.resources.memory_mib),
        (host.free_disk_gib, host.disk_gib, ask.resources.disk_gib),
    ]
    return [_share(capacity - free + asked, capacity) for free, capacity, asked in said if free != UNKNOWN]


def _share(used: float, capacity: float) -> float:
    return min(1.0, max(0.0, used / capacity)) if capacity else 1.0


def _spread(host: HostView, region: list[HostView], ask: Ask) -> float:
    def beside(held: tuple[tuple[int, int], ...], *domain: str) -> float:
        there = {other.id for other in region if all(getattr(other, name) == getattr(host, name) for name in domain)}
        everywhere = {other.id for other in region}
        servers = sum(count for id, count in held if id in everywhere)
        return sum(count for id, count in held if id in there) / servers if servers else 0.0

    shares = [
        beside(ask.neighbours, "availability_zone"),
        beside(ask.neighbours, "availability_zone", "rack"),
        beside(ask.neighbours, "availability_zone", "switch"),
    ]
    if ask.group is not None:
        shares.append(beside(ask.group, "availability_zone", "rack"))
    return 1 - sum(shares) / len(shares)
