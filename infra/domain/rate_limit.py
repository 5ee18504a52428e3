"""The rate limit: GCRA (ITU-T I.371), where a user's bucket is one time: when it is full again.

A request moves that time on by an interval, and is let through unless it would then lie more than the burst ahead. So
nothing runs in the background, and a refusal holds until a moment that is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.domain.errors import RateLimited

BURST = 2.0  # seconds' worth of requests that may come at once
SHORTEST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """``limit``: requests that may come at once. ``interval``: after which there may be one more."""

    limit: int
    interval: timedelta

    @classmethod
    def of(cls, rate: float) -> Pace | None:
        """``rate``: requests a second; None for 0, which is no limit."""
        if rate <= 0:
            return None
        return cls(max(1, int(rate * BURST)), max(SHORTEST, timedelta(seconds=1 / rate)))

    @property
    def burst(self) -> timedelta:
        return self.limit * self.interval


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a request is told of its user's bucket. ``wait``: seconds until one is let through; 0: this one is."""

    limit: int
    remaining: int
    wait: float
    full_at: datetime

    def after(self, seconds: float) -> Verdict:
        """The same refusal, that much later."""
        return Verdict(self.limit, self.remaining, self.wait - seconds, self.full_at)

    def headers(self) -> Mapping[str, str]:
        told = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(math.ceil(self.full_at.timestamp())),
        }
        return told | ({"Retry-After": str(math.ceil(self.wait))} if self.wait else {})

    def check(self) -> None:
        if self.wait:
            raise RateLimited(f"limit of {self.limit} requests reached, please slow down")


def verdicts(pace: Pace, asked: int, granted: int, full_in: timedelta, full_at: datetime) -> list[Verdict]:
    """For requests that asked together; the first ``granted`` are let through. ``full_in``: until ``full_at``."""
    left = min(pace.limit, max(0, (pace.burst - full_in) // pace.interval))
    wait = max(SHORTEST, full_in + pace.interval - pace.burst).total_seconds()
    passed = [Verdict(pace.limit, left + granted - count, 0.0, full_at) for count in range(1, granted + 1)]
    return passed + [Verdict(pace.limit, 0, wait, full_at)] * (asked - granted)
