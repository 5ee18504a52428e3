"""The rate limit: one token bucket per user, in this process. N processes let N times as much through.

A bucket is a pure value of (tokens, when): refilled by the time that has passed, so nothing runs in the background.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.domain.errors import RateLimited

BURST = 2.0  # seconds' worth of requests that may come at once
MOST = 100_000  # buckets kept; a full one is worth nothing


@dataclass(frozen=True, slots=True)
class Bucket:
    tokens: float
    at: float
    """Seconds of the limiter's clock."""

    def refilled(self, rate: float, now: float) -> Bucket:
        return Bucket(min(rate * BURST, self.tokens + (now - self.at) * rate), now)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``retry_after``: seconds until a request is let through; 0: this one is. ``full_in``: until the burst is back."""

    limit: int
    remaining: int
    retry_after: float
    full_in: float

    def headers(self, wall_clock: float) -> Mapping[str, str]:
        told = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(math.ceil(wall_clock + self.full_in)),
        }
        return told | ({"Retry-After": str(math.ceil(self.retry_after))} if self.retry_after else {})

    def check(self) -> None:
        if self.retry_after:
            raise RateLimited(f"limit of {self.limit} requests reached, please slow down")


class RateLimit:
    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``rate``: requests a second and user; 0 lets everything through."""
        self._rate = rate
        self._clock = clock
        self._buckets: dict[int, Bucket] = {}

    def take(self, user_id: int) -> Verdict | None:
        """Count one request; None when there is no limit."""
        if self._rate <= 0:
            return None
        now = self._clock()
        bucket = self._buckets.get(user_id, Bucket(self._rate * BURST, now)).refilled(self._rate, now)
        granted = bucket.tokens >= 1
        tokens = bucket.tokens - 1 if granted else bucket.tokens
        self._keep(user_id, Bucket(tokens, now))
        return Verdict(
            limit=int(self._rate * BURST),
            remaining=int(tokens),
            retry_after=0.0 if granted else (1 - tokens) / self._rate,
            full_in=(self._rate * BURST - tokens) / self._rate,
        )

    def _keep(self, user_id: int, bucket: Bucket) -> None:
        if len(self._buckets) >= MOST:
            full = self._rate * BURST
            self._buckets = {
                user: kept for user, kept in self._buckets.items() if kept.refilled(self._rate, bucket.at).tokens < full
            }
        self._buckets[user_id] = bucket
