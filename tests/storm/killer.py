"""The killer: each kind of process killed in turn, and paused as well, with the next blow when all are back at work.

Paused beyond its time and woken again, a worker is a zombie: it goes on with what others have taken over. Hosts also
fail now and then by themselves, for one call or two.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.drivers.simulated import Fault
from tests.fix_deployment import Deployment
from tests.fix_region import eventually
from tests.fix_stack import Stack

KINDS = ("api", "region", "host", "temporal", "postgres")
PAUSED = ("region", "host", "host")
BACK_WITHIN = 90.0
"""Seconds until everybody works again after a blow; supervisors wait up to ten between two tries."""

FAILING = ("images.ensure", "disks.create", "seeds.write", "ports.attach", "machines.define", "machines.start")


@dataclass(frozen=True, slots=True)
class Blow:
    """``pause``: seconds that the victim is stopped; None: it is killed."""

    kind: str
    pause: float | None = None

    def __str__(self) -> str:
        return f"kill {self.kind}" if self.pause is None else f"pause {self.kind}"


@dataclass
class Killer:
    """``spared``: processes that nothing is done to. ``back_after``: seconds, by blow."""

    deployment: Deployment
    stack: Stack
    chance: random.Random
    spared: frozenset[str] = frozenset()
    back_after: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrongs: list[str] = field(default_factory=list)

    async def rage(self, turns: int) -> None:
        """Every kind once a turn."""
        for _ in range(turns):
            for blow in self._turn():
                await asyncio.sleep(self.chance.uniform(0.5, 2.5))
                self._fault()
                await self._strike(blow)

    def _turn(self) -> Iterator[Blow]:
        # Beyond a host's time for a step, so that servers are moved away from it, or within.
        blows = [Blow(kind) for kind in KINDS] + [Blow(kind, self.chance.uniform(3, 10)) for kind in PAUSED]
        yield from self.chance.sample(blows, len(blows))

    def _fault(self) -> None:
        host = self.chance.choice(list(self.deployment.region.hosts.values()))
        when = self.chance.choice(("before", "after"))
        error = self.chance.choice(("HostUnavailable", "OSError"))
        host.inject(Fault(self.chance.choice(FAILING), when, error, count=2))  # type: ignore[arg-type]

    async def _strike(self, blow: Blow) -> None:
        crew = self.deployment.crew.get(blow.kind, [blow.kind])
        name = self.chance.choice([one for one in crew if one not in self.spared])
        pid = self.deployment.pid(name)
        if blow.pause is None:
            self.deployment.kill(name)
        else:
            await _pause(pid, blow.pause)
        struck = time.monotonic()

        async def back() -> bool:
            replaced = blow.pause is not None or self.deployment.pid(name) != pid
            return replaced and not await self._missing()

        try:
            await eventually(back, BACK_WITHIN, every=0.25)
        except TimeoutError:
            self.wrongs.append(f"{BACK_WITHIN:.0f} s after {blow} these are away: {', '.join(await self._missing())}")
        self.back_after[str(blow)].append(time.monotonic() - struck)

    async def _missing(self) -> list[str]:
        """Who does not work now. What stands below is asked first: nobody can work without it."""
        for name, cluster in (("postgres", self.stack.postgres), ("temporal", self.stack.temporal)):
            if not await cluster.ready():
                return [name]
        names = [name for crew in self.deployment.crew.values() for name in crew]
        serving = await asyncio.gather(*(self.deployment.serves(name) for name in names))
        return [name for name, serves in zip(names, serving, strict=True) if not serves]


async def _pause(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
