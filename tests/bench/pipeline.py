"""The pipeline, one create at a time: Puchify's and the floor's by turns, so that the machine's noise hits both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temporalio.client import Client

from tests.bench import machine
from tests.bench.figures import Summary, summary
from tests.bench.subjects import Subject
from tests.bench.trace import Trace, trace_of

SETTLE = 0.05
"""Seconds between two creates: what the last one left behind (visibility, timers) is not the next one's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """By row. ``wall``: in the story, waiting included; ``in_hand``: of it, in the hands of a worker."""

    wall: Mapping[str, Summary]
    in_hand: Mapping[str, Summary]


@dataclass(frozen=True, slots=True)
class Pipeline:
    load: tuple[float, float]
    """The load average before and after."""
    puchify: Measured
    floor: Measured
    differences: list[str]
    """In what the floor's story is not of the shape of ours: it measures what it should only while there is none."""


async def measure(client: Client, puchify: Subject, floor: Subject, samples: int, warm_up: int) -> Pipeline:
    for _ in range(warm_up):
        await by_turns(client, puchify, floor)
    before = machine.load()
    traces = [await by_turns(client, puchify, floor) for _ in range(samples)]
    ours, theirs = zip(*traces, strict=True)
    return Pipeline((before, machine.load()), summed_up(ours), summed_up(theirs), differences(ours[0], theirs[0]))


async def by_turns(client: Client, *subjects: Subject) -> list[Trace]:
    """One create of each; a server is deleted before the next begins."""
    traces = []
    for subject in subjects:
        run = await subject.create()
        traces.append(await trace_of(client, run))
        await subject.remove([run])
        await asyncio.sleep(SETTLE)
    return traces


def summed_up(traces: Sequence[Trace]) -> Measured:
    return Measured(by_row([trace.rows for trace in traces]), by_row([trace.in_hand for trace in traces]))


def by_row(samples: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    return {row: summary(sample[row] for sample in samples) for row in samples[0]}


def differences(ours: Trace, floor: Trace) -> list[str]:
    more, less = ours.shape - floor.shape, floor.shape - ours.shape
    return [f"only ours: {name}" for name in more.elements()] + [
        f"only the floor's: {name}" for name in less.elements()
    ]
