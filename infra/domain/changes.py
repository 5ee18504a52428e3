"""Changes of resources: what the books were changed to, and what the world then has to follow.

A change is decided and written in one transaction, with its action; its story carries it out. A story that comes late,
or twice, does no harm: it does what the books say by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.domain.models import Machine

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
    "project",
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


@dataclass(frozen=True, slots=True)
class Look:
    """Whom a change affects: page by page, each of servers with an id greater than ``after``; or which of ``servers``
    it still does, those of an earlier page."""

    change: Change
    after: int = 0
    servers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Affected:
    """``machines``: a page of the servers whose ports follow, where they are by now. ``last``: the id to look on from;
    None: there are no more. ``edges``: the ids of edge nodes that follow."""

    machines: tuple[Machine, ...] = ()
    edges: tuple[int, ...] = ()
    last: int | None = None
