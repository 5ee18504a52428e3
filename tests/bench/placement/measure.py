"""The measuring: every fleet by every strategy for every seed, each in whichever process is free.

In a module of its own, where the processes find it.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from multiprocessing import get_context

from infra.domain.placement import WEIGHTS
from tests.bench.placement.course import Course, run
from tests.bench.placement.orders import FLEETS, fleet, orders
from tests.bench.placement.report import Report
from tests.bench.placement.strategies import STRATEGIES


@dataclass(frozen=True, slots=True)
class Effort:
    """``first``: the orders that come while servers go; ``stream``: with those that fill the region afterwards."""

    seeds: tuple[int, ...]
    first: int = 5_000
    stream: int = 12_000
    hosts: int = 200


FULL = Effort(seeds=tuple(range(1, 16)))
QUICK = Effort(seeds=(1,), first=200, stream=1_000, hosts=20)


def measure(effort: Effort) -> Report:
    began = datetime.now(UTC)
    runs = list(product(FLEETS, STRATEGIES, effort.seeds))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        courses = dict(zip(runs, processes.map(course, [effort] * len(runs), runs), strict=True))
    by_fleet = {
        name: {strategy: [courses[name, strategy, seed] for seed in effort.seeds] for strategy in STRATEGIES}
        for name in FLEETS
    }
    return Report(began, asdict(WEIGHTS), effort.seeds, effort.first, by_fleet)


def course(effort: Effort, wanted: tuple[str, str, int]) -> Course:
    name, strategy, seed = wanted
    stream = orders(seed, effort.stream)
    return run(fleet(name, seed, effort.hosts), STRATEGIES[strategy](seed), stream, effort.first)
