"""How an edge's connections are shared, so that whoever is full leaves the others reachable.

The projects that it serves share them evenly: one alone may have all. Up to eight, who is full never takes from
another; of more, eight full ones do. Within a project it takes two full load balancers to keep a third from clients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from infra.domain.edge_plan import EdgePlan

MOST_PROJECTS, MOST_BALANCERS = 8, 2
"""Into so many parts the edge's connections are split, and a project's: parts of more would be too small to be of use,
and are seldom full all at a time."""


@dataclass(frozen=True, slots=True)
class Share:
    """Connections of clients at a time that one load balancer takes at most, and all of its project."""

    of_balancer: int
    of_project: int


def shares(plan: EdgePlan, connections: int) -> Mapping[int, Share]:
    """By load balancer. ``connections``: all that the edge takes at a time."""
    balancers = Counter(one.project_id for one in plan.balancers)
    of_project = connections // min(max(len(balancers), 1), MOST_PROJECTS)
    return {
        one.id: Share(
            min(one.max_connections, of_project // min(balancers[one.project_id], MOST_BALANCERS)), of_project
        )
        for one in plan.balancers
    }
