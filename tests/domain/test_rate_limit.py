"""The bucket: what a request is told of it is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.domain.errors import RateLimited
from infra.domain.rate_limit import SHORTEST, Pace, Verdict, verdicts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def told(pace: Pace, asked: int, granted: int, full_in: timedelta) -> list[Verdict]:
    return verdicts(pace, asked, granted, full_in, NOON + full_in)


def test_twice_the_rate_may_come_at_once() -> None:
    pace = Pace.of(100)
    assert pace == Pace(200, timedelta(milliseconds=10))
    assert pace.burst == timedelta(seconds=2)


@pytest.mark.parametrize(("rate", "limit"), [(0.01, 1), (0.3, 1), (0.5, 1), (1, 2), (3, 6), (100_000, 200_000)])
def test_one_may_always_come(rate: float, limit: int) -> None:
    pace = Pace.of(rate)
    assert pace is not None
    assert pace.limit == limit
    assert pace.burst >= pace.interval


def test_zero_is_no_limit() -> None:
    assert Pace.of(0) is None


def test_those_who_ask_together_are_told_one_after_the_other() -> None:
    pace = Pace(4, timedelta(seconds=0.5))
    first, second, third = told(pace, asked=3, granted=2, full_in=timedelta(seconds=2))

    assert [verdict.remaining for verdict in (first, second, third)] == [1, 0, 0]
    assert first.headers() == {
        "RateLimit-Limit": "4",
        "RateLimit-Remaining": "1",
        "RateLimit-Reset": str(int(NOON.timestamp()) + 2),
    }
    assert third.headers()["Retry-After"] == "1"
    first.check()
    with pytest.raises(RateLimited):
        third.check()


@example(rate=7783.0, taken=1, later=0.99609375, asked=1)
@given(
    rate=st.floats(0.01, 10_000),
    taken=st.integers(0, 20_000),
    later=st.floats(0, 0.999),
    asked=st.integers(1, 50),
)
def test_what_is_told_follows_from_the_time_alone(rate: float, taken: int, later: float, asked: int) -> None:
    """``taken`` of a full bucket, ``later`` intervals ago."""
    pace = Pace.of(rate)
    assert pace is not None
    taken = min(taken, pace.limit)
    elapsed = min(later * pace.interval, pace.interval - SHORTEST)  # a product is rounded, maybe to all of an interval
    full_in = max(timedelta(), taken * pace.interval - elapsed)
    granted = min(asked, taken)
    answers = told(pace, asked, granted, full_in)

    assert len(answers) == asked
    assert [answer.wait == 0 for answer in answers] == [True] * granted + [False] * (asked - granted)
    if granted:
        assert answers[granted - 1].remaining == (pace.limit - taken if taken else pace.limit)
    if granted < asked:
        assert 0 < answers[-1].wait <= max(1e-6, (full_in + pace.interval - pace.burst).total_seconds())
