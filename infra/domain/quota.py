"""Quota: what a user and a project may take, and why an order went over it. The books decide; here it is explained.

The wire's details are hcloud's ``{"limits": [{"name": "project_limit"}]}``; each entry carries our numbers beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from infra.domain.models import Resources


@dataclass(frozen=True, slots=True)
class Quota:
    """A row of the books: the limits of a user or a project and what its servers take. Memory in MiB, disk in GiB."""

    scope: Literal["user", "project"]
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
        counted = (
            ("servers", self.max_servers, self.used_servers, 1),
            ("cores", self.max_cores, self.used_cores, asked.cores),
            ("memory_mib", self.max_memory_mib, self.used_memory_mib, asked.memory_mib),
            ("disk_gib", self.max_disk_gib, self.used_disk_gib, asked.disk_gib),
        )
        return [
            {"name": f"{self.scope}_limit", "resource": resource, "limit": limit, "used": used, "asked": more}
            for resource, limit, used, more in counted
            if used + more > limit
        ]


NAMES = {"servers": "servers", "cores": "cores", "memory_mib": "MiB of memory", "disk_gib": "GiB of disk"}
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
    return (
        f"the {scope} uses {entry['used']} of {entry['limit']} {NAMES[entry['resource']]}, {entry['asked']} more asked"
    )
