"""The bucket: a burst, then the rate, for each user alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rate_limit import RateLimit
from infra.domain.errors import RateLimited


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(limit: RateLimit, user: int = 1) -> bool:
    verdict = limit.take(user)
    assert verdict is not None
    return verdict.retry_after == 0


def test_a_burst_of_twice_the_rate_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(100, clock)

    assert [taken(limit) for _ in range(201)] == [True] * 200 + [False]
    clock.now += 0.1
    assert [taken(limit) for _ in range(11)] == [True] * 10 + [False]
    assert taken(limit, user=2)


def test_what_is_told_is_true() -> None:
    clock = Clock()
    limit = RateLimit(2, clock)
    verdicts = [limit.take(1) for _ in range(5)]
    assert all(verdicts)
    last = verdicts[-1]
    assert last is not None

    assert last.headers(1000) == {
        "RateLimit-Limit": "4",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "1002",
        "Retry-After": "1",
    }
    with pytest.raises(RateLimited):
        last.check()
    clock.now += last.retry_after
    assert taken(limit)


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_more_than_burst_and_rate_ever_pass(pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(3, clock)
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += taken(limit)
    assert passed <= 6 + 3 * clock.now + 1e-6


def test_zero_is_no_limit() -> None:
    assert RateLimit(0).take(1) is None
