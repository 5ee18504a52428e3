"""The pipeline, one create at a time: Puchify's and the floor's by turns, so that the machine's noise hits both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench import machine
from tests.bench.cpu import Meter
from tests.bench.figures import Summary, summary
from tests.bench.stack import Bench
from tests.bench.subjects import Subject
from tests.bench.trace import Trace, trace_of

SETTLE = 0.05
"""Seconds between two creates: what the last one left behind (visibility, timers) is not the next one's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """By row. ``wall``: in the story, waiting included; ``in_hand``: of it, in the hands of a worker. ``cpu``: by
    process, milliseconds a create."""

    wall: Mapping[str, Summary]
    in_hand: Mapping[str, Summary]
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pipeline:
    load: tuple[float, float]
    """The load average before and after."""
    puchify: Measured
    floor: Measured
    differences: list[str]
    """In what the floor's story is not of the shape of ours: it measures what it should only while there is none."""


async def measure(bench: Bench, puchify: Subject, floor: Subject, samples: int, warm_up: int) -> Pipeline:
    for subject in [puchify, floor] * warm_up:
        await subject.remove([await subject.create()])
    before = machine.load()
    ours, theirs = Series(bench, puchify), Series(bench, floor)
    for _ in range(samples):
        await ours.sample()
        await theirs.sample()
    return Pipeline(
        (before, machine.load()),
        ours.summed_up(),
        theirs.summed_up(),
        differences(ours.traces[0], theirs.traces[0]),
    )


class Series:
    """One subject's creates."""

    def __init__(self, bench: Bench, subject: Subject) -> None:
        self.traces: list[Trace] = []
        self._bench = bench
        self._subject = subject
        self._meter = Meter(bench.pids)

    async def sample(self) -> None:
        """One create, deleted before the next begins."""
        with self._meter.on():
            run = await self._subject.create()
        self.traces.append(await trace_of(self._bench.client, run))
        await self._subject.remove([run])
        await asyncio.sleep(SETTLE)

    def summed_up(self) -> Measured:
        return Measured(
            by_row([trace.rows for trace in self.traces]),
            by_row([trace.in_hand for trace in self.traces]),
            self._meter.per(len(self.traces)),
        )


def by_row(samples: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """Of the rows that every sample has."""
    rows = [row for row in samples[0] if all(row in sample for sample in samples)]
    return {row: summary(sample[row] for sample in samples) for row in rows}


def differences(ours: Trace, floor: Trace) -> list[str]:
    more, less = ours.shape - floor.shape, floor.shape - ours.shape
    return [f"only ours: {name}" for name in more.elements()] + [
        f"only the floor's: {name}" for name in less.elements()
    ]
