"""Workers in processes of their own, to be killed by the saboteur inside them: forked from a server that has loaded the
product already, so that one costs a tenth of a second. One that dies is started again at once, unless it shall be gone.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from typing import Literal

import workers.edge
import workers.host
import workers.region
from infra.config import Settings
from tests.faults.sabotage import WAYS
from tests.faults.saboteur import Saboteur, Strike
from tests.faults.surroundings import open_edge

Role = Literal["region", "host", "edge"]
ROLES = {"region": workers.region.run_region, "host": workers.host.run_host, "edge": workers.edge.run_edge}

WORKERS = (workers.region, workers.host, workers.edge)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def enlist(saboteur: Saboteur) -> None:
    """From now on the workers of this process take the saboteur aboard."""
    for worker in WORKERS:
        worker.connect = saboteur.connect  # type: ignore[attr-defined]
    workers.edge.open_edge = open_edge  # type: ignore[attr-defined]


@contextmanager
def enlisted(saboteur: Saboteur) -> Iterator[None]:
    """In the end they are as they were."""
    connects = {worker: worker.connect for worker in WORKERS}  # type: ignore[attr-defined]
    edge = workers.edge.open_edge  # type: ignore[attr-defined]
    enlist(saboteur)
    try:
        yield
    finally:
        for worker, connect in connects.items():
            worker.connect = connect  # type: ignore[attr-defined]
        workers.edge.open_edge = edge  # type: ignore[attr-defined]


def _work(role: Role, settings: Settings, subject: str, plan: Sequence[Strike]) -> None:
    logging.getLogger().setLevel(logging.CRITICAL)  # what is provoked here need not be told
    saboteur = Saboteur(WAYS)
    saboteur.victims[subject].plan = list(plan)
    enlist(saboteur)
    asyncio.run(ROLES[role](settings, asyncio.Event()))


@dataclass
class Mortal:
    """A worker that may be killed."""

    role: Role
    settings: Settings
    subject: str
    plan: list[Strike]
    """Of its first life; the later ones keep what does not kill."""
    comes_back: asyncio.Event = field(default_factory=asyncio.Event)
    """Not set: when it is killed it is gone."""
    is_absent: bool = False
    """It is gone from the beginning."""
    killed: int = 0

    async def live(self) -> None:
        if self.is_absent:
            await self.comes_back.wait()
        while True:
            process = _processes.Process(
                target=_work, args=(self.role, self.settings, self.subject, self.plan), daemon=True
            )
            process.start()
            try:
                await _ended(process)
            finally:
                process.kill()
                process.join()
            if process.exitcode != -signal.SIGKILL:  # it could not begin
                await asyncio.sleep(1)
                continue
            self.killed += 1
            self.plan = [strike for strike in self.plan if not strike.fault.startswith("killed")]
            await self.comes_back.wait()


async def _ended(process: ForkServerProcess) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)


@asynccontextmanager
async def living(mortal: Mortal) -> AsyncIterator[None]:
    task = asyncio.create_task(mortal.live())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
