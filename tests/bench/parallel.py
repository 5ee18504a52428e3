"""Many creates at a time: how many a second, and what becomes of the way to the boot command meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from temporalio.client import Client

from tests.bench import machine
from tests.bench.figures import Summary
from tests.bench.pipeline import by_row
from tests.bench.subjects import Subject, in_parallel
from tests.bench.trace import Run, trace_of

ROWS = ("answer", "boot command", "running")


@dataclass(frozen=True, slots=True)
class Rate:
    """``creates`` in all, so many at a time. ``per_second``: from the first request to the end of the last story."""

    creates: int
    load: float
    per_second: float
    rows: Mapping[str, Summary]


async def measure(client: Client, subject: Subject, width: int, creates: int) -> Rate:
    runs: list[Run] = []

    async def one() -> None:
        runs.append(await subject.create())

    begun = time.perf_counter()
    await in_parallel(width, [one] * creates)
    took = time.perf_counter() - begun
    traces = [await trace_of(client, run) for run in runs]
    rate = Rate(
        creates,
        machine.load(),
        round(creates / took, 2),
        by_row([{row: trace.rows[row] for row in ROWS} for trace in traces]),
    )
    await subject.remove(runs)
    return rate
