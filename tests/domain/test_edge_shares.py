"""An edge's connections, shared by the projects that are on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.edge_plan import Balancer, EdgePlan
from infra.domain.edge_shares import Share, shares

ALL, OF_TYPE = 100_000, 40_000


def plan(*projects: int) -> EdgePlan:
    """A load balancer of each of them, numbered from 1."""
    return EdgePlan(1, tuple(Balancer(n, 1, "round_robin", OF_TYPE, project_id=id) for n, id in enumerate(projects, 1)))


@pytest.mark.parametrize(
    ("projects", "share"),
    [
        ((7,), Share(OF_TYPE, ALL)),
        ((7, 7), Share(OF_TYPE, ALL)),
        ((7, 8), Share(OF_TYPE, 50_000)),
        ((7, 7, 8), Share(25_000, 50_000)),
        ((7, 7, 7, 8), Share(25_000, 50_000)),
        ((7, 7, *range(8, 15)), Share(6_250, 12_500)),
        ((7, 7, *range(8, 30)), Share(6_250, 12_500)),
    ],
)
def test_the_first_ones_share(projects: tuple[int, ...], share: Share) -> None:
    assert shares(plan(*projects), ALL)[1] == share


def test_nobody_shares_nothing() -> None:
    assert shares(plan(), ALL) == {}


@given(st.lists(st.integers(1, 8), min_size=1, max_size=30), st.integers(100, ALL))
def test_up_to_eight_full_projects_leave_the_others_theirs(projects: list[int], connections: int) -> None:
    found = shares(plan(*projects), connections)
    of_projects = {project: found[n].of_project for n, project in enumerate(projects, 1)}
    assert sum(of_projects.values()) <= connections
    assert all(0 < share.of_balancer <= share.of_project for share in found.values())
