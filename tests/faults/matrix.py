"""Running trials: many at a time on one ground; those that kill workers, or need a sweep, on grounds of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx

from tests.faults.ground import Battlefield
from tests.faults.process import Mortal
from tests.faults.steps import OF_LOCATION, OF_POWER, ON_EDGES, Cell, is_on_host
from tests.faults.stories import SETTING, Played, depart, play
from tests.faults.trials import Trial, trial_of
from tests.faults.verdict import Chance, leftovers, verdict
from tests.fix_region import Region, eventually

AT_ONCE = 40  # on the common ground: most of them wait for a timeout
ALONE_AT_ONCE = 4
PACE = 0.15  # seconds between two beginnings, so that they do not all work at the same time
LATE = 0.1  # seconds: a process whose own timers are later has more in hand than it gets done in time
BREATHS = 100  # at most, before the next beginning: after that it is not the trials that keep the machine busy
HOSTS = 4
MISSED = Chance("the fault never struck")  # an edge may be busy, and nobody waits for one
PROGRESS = Path(__file__).parents[2] / "build" / "faults.log"
"""A line for each fight of a trial as it ends: a long run can be watched."""
LIMIT = 600.0  # seconds; on an idle machine none needs a tenth of it


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    seconds: float
    wrong: tuple[str, ...]
    before: tuple[str, ...] = ()
    """What was wrong the first time, of a trial that was fought again alone."""

    @property
    def is_chance(self) -> bool:
        return bool(self.wrong) and all(isinstance(text, Chance) for text in self.wrong)


async def fight_together(field: Battlefield, trials: Sequence[Trial], limit: float = LIMIT) -> list[Result]:
    """Trials that leave the workers alone. The last result is what all together leave behind."""
    async with field.region(HOSTS) as region, field.at_work(region), field.owner(region) as http:

        async def fight(trial: Trial) -> list[str]:
            order = await region.order()
            victim = field.saboteur.victims[str(order.server_id)]
            played = await play(region, order, victim, trial.story, trial.plan)
            missed = [MISSED] if trial.is_sure and victim.missed else []
            return [*missed, *await verdict(played, trial.ends, http), *await _deleted(played, http)]

        results = await fight_each([(trial.name, partial(fight, trial)) for trial in trials], AT_ONCE, limit)
        return [*results, await _timed("what is left", partial(leftovers, region), limit)]


async def fight_alone(field: Battlefield, cells: Sequence[Cell]) -> list[Result]:
    """Cells that take a location of their own."""
    return await fight_each([(cell.name, partial(_alone, field, cell)) for cell in cells], ALONE_AT_ONCE, LIMIT)


async def _alone(field: Battlefield, cell: Cell) -> list[str]:
    trial = trial_of(cell)
    async with field.region(2) as region, field.owner(region) as http:
        order = await region.order()
        victim = field.saboteur.victims[str(order.server_id)]
        subject = region.location if trial.story in OF_LOCATION else str(order.server_id)
        struck = _struck(field, region, cell, subject) if cell.is_process else None
        absent = _absent(field, region) if trial.story == "silent" else None
        mortals = [mortal for mortal in (struck, absent) if mortal]
        if struck is None:
            field.saboteur.victims[subject] = victim  # it serves nobody else here
            victim.plan = list(trial.plan)  # a sweep or an audit begins with the workers
        async with field.at_work(region, mortals):
            if struck and struck.role == "host":
                await eventually(lambda: _reported(region))
            if struck and cell.fault == "host_back" and trial.story in OF_POWER:
                victim.aftermath.append(asyncio.create_task(_come_back(region, struck)))
            played = await play(region, order, victim, trial.story, () if struck else trial.plan)
            missed = not struck.killed if struck else bool(victim.missed)
            wrong = [MISSED] if missed else []
            for mortal in mortals:
                if not mortal.comes_back.is_set():
                    wrong += await verdict(played, trial.ends, http, gone=mortal.settings.host_id)
            if cell.fault != "host_gone":
                for mortal in mortals:
                    mortal.comes_back.set()
                wrong += [*await verdict(played, trial.ends, http), *await _deleted(played, http)]
        return wrong


async def _deleted(played: Played, http: httpx.AsyncClient) -> list[str]:
    """At last its owner deletes the server, if there is one: then nothing is left of it."""
    await depart(played)
    return [f"deleted in the end: {text}" for text in await verdict(played, frozenset({"gone"}), http)]


def _struck(field: Battlefield, region: Region, cell: Cell, subject: str) -> Mortal:
    """The worker that is going to be killed: the region's, the edge's, or the host's which placement tries first."""
    trial = trial_of(cell)
    plan = [*trial.plan, *SETTING[trial.story]]
    if cell.step in ON_EDGES:
        mortal = Mortal("edge", field.edge_settings(region), subject, plan)
    elif is_on_host(cell.step):
        mortal = Mortal("host", field.host_settings(region, min(region.hosts)), subject, plan)
    else:
        mortal = Mortal("region", field.region_settings(region), subject, plan)
    if cell.fault.startswith("killed"):
        mortal.comes_back.set()
    return mortal


def _absent(field: Battlefield, region: Region) -> Mortal:
    """The host that placement takes first: the books say that it is there, and it is not."""
    return Mortal("host", field.host_settings(region, min(region.hosts)), "", [], is_absent=True)


async def _come_back(region: Region, mortal: Mortal) -> None:
    """Once it was waited for in vain: a story that waits for this host ends no sooner."""
    silent = "SELECT id FROM hosts WHERE id = %s AND silent IS NOT NULL"
    await eventually(lambda: region.one(silent, mortal.settings.host_id), LIMIT)
    mortal.comes_back.set()


async def _reported(region: Region) -> bool:
    return any(call.call == "facts.report" for call in region.hosts[min(region.hosts)].calls())


Fight = Callable[[], Awaitable[list[str]]]


async def fight_each(fights: Sequence[tuple[str, Fight]], at_once: int, limit: float) -> list[Result]:
    """Those that came to nothing by chance are fought once more, alone: if it was the others, it is not then."""
    room, gate = asyncio.Semaphore(at_once), asyncio.Lock()

    async def one(name: str, fight: Fight) -> Result:
        async with room:
            async with gate:
                await _breath()
            return await _timed(name, fight, limit)

    results = await asyncio.gather(*(one(name, fight) for name, fight in fights))
    for number, result in enumerate(results):
        if result.is_chance:
            results[number] = replace(await _timed(*fights[number], limit), before=result.wrong)
    return results


async def _breath() -> None:
    """Until this process, which plays all parts, keeps up: else every step of every trial is late for its deadline."""
    for _ in range(BREATHS):
        began = time.monotonic()
        await asyncio.sleep(PACE)
        if time.monotonic() - began < PACE + LATE:
            return


async def _timed(name: str, fight: Fight, limit: float) -> Result:
    PROGRESS.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    try:
        async with asyncio.timeout(limit) as whole:
            wrong = await fight()
    except Exception as error:
        wrong = [f"not over after {limit:.0f} s" if whole.expired() else f"{type(error).__name__}: {error}"]
    result = Result(name, time.monotonic() - began, tuple(dict.fromkeys(wrong)))
    with PROGRESS.open("a") as progress:
        print(f"{name:40} {result.seconds:4.0f} s  {'; '.join(result.wrong) or 'ok'}", file=progress)
    return result
