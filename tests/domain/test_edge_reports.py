"""An edge's targets in parts: all of them, none twice, and no gap between two parts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain import edge_reports
from infra.domain.edge_plan import Health
from infra.domain.edge_reports import FIRST, LAST, health_parts

SOME = st.builds(
    Health,
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    st.booleans(),
    st.just("healthy"),
)


@given(st.lists(SOME, unique=True))
def test_parts_are_all_there_is_and_meet(some: list[Health]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge_reports, "PART", 5)
        parts = list(health_parts(some))
    assert sorted(map(repr, some)) == sorted(repr(one) for part in parts for one in part.health)
    assert (parts[0].after, parts[-1].upto) == (FIRST, LAST)
    assert all(one.upto == other.after for one, other in pairwise(parts))
    for part in parts:
        assert all(part.after < (one.load_balancer_id, one.listen_port) <= part.upto for one in part.health)
