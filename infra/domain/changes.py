"""Changes of resources: what the books were changed to, and what the world then has to follow.

A change is decided and written in one transaction, with its action; its story carries it out. A story that comes late,
or twice, does no harm: it does what the books say by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ResourceType = Literal[
    "server",
    "image",
    "network",
    "firewall",
    "placement_group",
    "primary_ip",
    "load_balancer",
    "zone",
    "floating_ip",
    "volume",
    "certificate",
    "iso",
]


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is about, in the wire's words."""

    type: ResourceType
    id: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of ``resource``. ``location``: whose workers carry it out. ``server_id``: a server it is about."""

    action_id: int
    project_id: int
    location: str
    command: str
    resource: Resource
    server_id: int | None = None
