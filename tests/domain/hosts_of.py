"""Hosts to place on, for tests: alike unless said otherwise, and each has just reported."""

from __future__ import annotations

from typing import Any

from infra.domain.host_table import HostTable, HostView
from infra.domain.models import Resources
from infra.domain.placement import Ask, Ranking, rank

NOW = 1000.0
GB = 1024


def host(id: int = 1, **but: Any) -> HostView:
    """16 cores to hand out, 64 GB memory, 500 GB disk, nothing on it."""
    like: dict[str, Any] = {
        "state": "accepting",
        "architecture": "x86",
        "availability_zone": "a",
        "rack": "r1",
        "switch": "s1",
        "cores": 16,
        "memory_mib": 64 * GB,
        "disk_gib": 500,
        "reported": NOW,
    }
    return HostView(id=id, **{**like, **but})


def ask(cores: int = 2, memory: int = 8, disk: int = 50, **but: Any) -> Ask:
    """``memory`` and ``disk`` in GB."""
    return Ask(**{"architecture": "x86", "resources": Resources(cores, memory * GB, disk), "now": NOW, **but})


def ranking(hosts: list[HostView], question: Ask | None = None) -> Ranking:
    return rank(HostTable.of(hosts), question or ask())
