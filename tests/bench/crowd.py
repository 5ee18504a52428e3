"""A crowd at the gate: four API processes, one user who asks far too often, and another who asks as usual.

Open loop: a request is sent when its time has come, however long those before it take. What may pass is the burst, and
the rate for as long as was asked, which on a machine that cannot keep up is longer than was meant.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.config import Settings
from infra.db import keys
from infra.db.pool import Connection, open_pool
from infra.domain.rate_limit import Pace
from tests.bench import machine
from tests.bench.desk import SECRET
from tests.bench.figures import Summary, summary
from tests.bench.stack import Bench, free_port
from tests.bench.wires import Wires
from workers.local.place import environment
from workers.local.roles import answers
from workers.processes import Process, Supervisor

PROCESSES = 4
RATE = 100.0
CROWD, USUAL = 1_000, 10
"""Requests a second, of the one and of the other."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """``fair``: what had to pass. ``alone``, ``beside``: the other user's requests, without the crowd and with it."""

    load: tuple[float, float]
    seconds: float
    offered: int
    passed: int
    fair: float
    refused: int
    alone: Summary
    beside: Summary

    @property
    def off(self) -> float:
        """Per cent that passed too many, or, below zero, too few."""
        return 100 * (self.passed / self.fair - 1)


async def measure(bench: Bench, seconds: int) -> Crowd:
    before = machine.load()
    async with (
        open_pool(bench.scratch_url, 2, "puchify-bench") as pool,
        pool.connection() as connection,
        apis(bench) as ports,
        AsyncExitStack() as stack,
    ):
        one, other = [await stack.enter_async_context(_asking(connection, name, ports)) for name in ("one", "other")]
        alone = await at_a_pace(other, USUAL, seconds)
        asking = asyncio.create_task(at_a_pace(one, CROWD, seconds))
        beside = await at_a_pace(other, USUAL, seconds)
        crowd = await asking
    took = max(number / CROWD + milliseconds / 1000 for number, (milliseconds, _) in enumerate(crowd))
    pace = Pace.of(RATE)
    assert pace is not None
    told = Counter(status for _, status in crowd)
    assert {status for _, status in [*alone, *beside]} == {200}, "the other has asked within its limit"
    return Crowd(
        load=(before, machine.load()),
        seconds=round(took, 3),
        offered=len(crowd),
        passed=told[200],
        fair=pace.limit + RATE * took,
        refused=told[429],
        alone=summary(milliseconds for milliseconds, _ in alone),
        beside=summary(milliseconds for milliseconds, _ in beside),
    )


async def at_a_pace(wires: Wires, rate: int, seconds: int) -> Sequence[tuple[float, int]]:
    """(milliseconds from the moment when it was due, status) of each request."""
    clock = asyncio.get_running_loop().time
    began = clock()

    async def ask(due: float) -> tuple[float, int]:
        status = await wires.ask()
        return 1000 * (clock() - due), status

    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(rate * seconds):
            due = began + number / rate
            await asyncio.sleep(due - clock())
            tasks.append(group.create_task(ask(due)))
    return [task.result() for task in tasks]


@asynccontextmanager
async def apis(bench: Bench) -> AsyncIterator[Sequence[int]]:
    """The ports of API processes on the scratch books, with the limit that is the product's default."""
    async with Supervisor(bench.pids, lambda line: print(line, file=sys.stderr, flush=True)) as supervisor:
        ports = [free_port() for _ in range(PROCESSES)]
        for number, port in enumerate(ports):
            await supervisor.start(_api(bench, number, port))
        yield ports


def _api(bench: Bench, number: int, port: int) -> Process:
    ours = {"database_url": bench.scratch_url, "api_secret": SECRET.decode(), "api_port": port, "rate_limit": RATE}
    settings: Settings = bench.settings.model_copy(update=ours)
    name = f"crowd-api-{number}"
    return Process(
        name=name,
        argv=(sys.executable, "-m", "workers.cli", "api"),
        log_path=bench.pids.parent / "logs" / f"{name}.log",
        env={**environment(settings, "api"), "PYTHONPATH": str(Path(__file__).parents[2])},
        ready=answers(f"http://127.0.0.1:{port}/healthz", settings),
    )


@asynccontextmanager
async def _asking(connection: Connection, name: str, ports: Sequence[int]) -> AsyncIterator[Wires]:
    token = await keys.make_key(connection, SECRET, user=name, project=name, name=name)
    turns: Iterator[int] = itertools.cycle(ports)
    async with Wires(turns, "/api/v1/locations", token) as wires:
        yield wires
