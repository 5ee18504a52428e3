"""Quota: what a user and a project may take, and why an order went over it. The books decide; here it is explained.

The wire's details are hcloud's ``{"limits": [{"name": "project_limit"}]}``; each entry carries our numbers beside. What
people and clients read is in the units of server types: memory and disk in GB (of 1024 MiB).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from infra.domain.errors import Problems
from infra.domain.models import Resources

Scope = Literal["user", "project"]
MOST = 10**9
"""Of anything, in the units of server types; more is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a user or a project may take. Memory in MiB, disk in GiB. None: as it is."""

    servers: int | None = None
    cores: int | None = None
    memory_mib: int | None = None
    disk_gib: int | None = None

    @classmethod
    def in_gb(cls, servers: int | None, cores: int | None, memory: float | None, disk: int | None) -> Limits:
        """From the units of server types; memory is rounded up to whole MiB."""
        return cls(servers, cores, None if memory is None else math.ceil(memory * 1024), disk)

    def told(self) -> dict[str, float | None]:
        """By name, in the units of server types."""
        memory = None if self.memory_mib is None else self.memory_mib / 1024
        return {"servers": self.servers, "cores": self.cores, "memory": memory, "disk": self.disk_gib}

    def __str__(self) -> str:
        """What is given, in words: "20 servers, 1600 GB of memory"."""
        return ", ".join(f"{shown(number)} {NOUNS[name]}" for name, number in self.told().items() if number is not None)


@dataclass(frozen=True, slots=True)
class Quota:
    """A row of the books: the limits of a user or a project and what its servers take. Memory in MiB, disk in GiB."""

    scope: Scope
    subject_id: int
    max_servers: int
    max_cores: int
    max_memory_mib: int
    max_disk_gib: int
    used_servers: int
    used_cores: int
    used_memory_mib: int
    used_disk_gib: int

    def exceeded_by(self, asked: Resources) -> list[dict[str, Any]]:
        """The limits that one more server of that size breaks, as entries of the wire's details."""
        counted: tuple[tuple[str, float, float, float], ...] = (
            ("servers", self.max_servers, self.used_servers, 1),
            ("cores", self.max_cores, self.used_cores, asked.cores),
            ("memory", self.max_memory_mib / 1024, self.used_memory_mib / 1024, asked.memory_mib / 1024),
            ("disk", self.max_disk_gib, self.used_disk_gib, asked.disk_gib),
        )
        return [
            {"name": f"{self.scope}_limit", "resource": resource, "limit": limit, "used": used, "asked": more}
            for resource, limit, used, more in counted
            if used + more > limit
        ]

    def not_raised_by(self, asked: Limits) -> Problems:
        """What is wrong with asking for those limits, by field: each has to be more than there is."""
        limits: tuple[tuple[str, int | None, int, float], ...] = (
            ("servers", asked.servers, self.max_servers, self.max_servers),
            ("cores", asked.cores, self.max_cores, self.max_cores),
            ("memory", asked.memory_mib, self.max_memory_mib, self.max_memory_mib / 1024),
            ("disk", asked.disk_gib, self.max_disk_gib, self.max_disk_gib),
        )
        if all(wanted is None for _, wanted, _, _ in limits):
            return [("servers", f"at least one of {', '.join(name for name, *_ in limits)} is required")]
        return [
            (name, f"must be more than the present limit of {shown(told)}")
            for name, wanted, present, told in limits
            if wanted is not None and wanted <= present
        ]


NOUNS = {"servers": "servers", "cores": "cores", "memory": "GB of memory", "disk": "GB of disk"}
"""What is counted, to the user."""


def explain_refusal(quotas: Sequence[Quota], asked: Resources) -> tuple[str, dict[str, Any]]:
    """Every limit that a server of that size breaks: a message for the user, the details of resource_limit_exceeded.

    ``quotas``: the user's and the project's; one that is missing allows nothing. No limit may be broken any more, when
    something was given back since the refusal: then the list is empty and the message says so.
    """
    limits = [entry for quota in quotas for entry in quota.exceeded_by(asked)]
    missing = [scope for scope in ("user", "project") if scope not in {quota.scope for quota in quotas}]
    reasons = [f"no quota is set for the {scope}" for scope in missing] + [_reason(entry) for entry in limits]
    limits = [{"name": f"{scope}_limit"} for scope in missing] + limits
    return f"limit exceeded: {'; '.join(reasons) or 'it was reached a moment ago, try again'}", {"limits": limits}


def _reason(entry: dict[str, Any]) -> str:
    scope = entry["name"].removesuffix("_limit")
    used, limit, asked = (shown(entry[name]) for name in ("used", "limit", "asked"))
    return f"the {scope} uses {used} of {limit} {NOUNS[entry['resource']]}, {asked} more asked"


def shown(number: float) -> str:
    """Without a fraction where there is none."""
    return f"{number:.15g}"
