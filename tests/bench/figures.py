"""Figures: what samples come down to. Medians and 95th percentiles, because means hide what users meet."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Summary:
    """Of ``n`` samples, all in one unit. Milliseconds unless the row says otherwise."""

    n: int
    p50: float
    p95: float
    min: float
    max: float
    mean: float


def summary(samples: Iterable[float]) -> Summary:
    """ValueError: there is no sample."""
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("nothing was measured")
    rounded = [
        round(value, 3)
        for value in (
            percentile(ordered, 50),
            percentile(ordered, 95),
            ordered[0],
            ordered[-1],
            sum(ordered) / len(ordered),
        )
    ]
    return Summary(len(ordered), *rounded)


def percentile(ordered: list[float], per_cent: float) -> float:
    """Linear between the two nearest samples, as numpy's default and Hyndman & Fan's type 7."""
    rank = (len(ordered) - 1) * per_cent / 100
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


async def timed(work: Callable[[], Awaitable[R]]) -> tuple[float, R]:
    """How many milliseconds it took, and what came of it."""
    begun = time.perf_counter()
    result = await work()
    return (time.perf_counter() - begun) * 1000, result
