"""The fault matrix, run: every trial ends, and whatever its end, no side of the books holds what it should not.

``make test`` runs a part in which each step and each fault occurs; ``make faults`` runs the whole. FAULTS_ONLY names
trials, FAULTS_SEED draws others, FAULTS_ALL is for the whole.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import Any

import pytest

from activities.fence import Fence
from activities.load_balancers import Edges
from activities.ports import Ports
from infra.drivers.edges import SimulatedEdge
from infra.drivers.epochs import Epochs
from tests.faults import report
from tests.faults.ground import battlefield
from tests.faults.matrix import fight_alone, fight_together
from tests.faults.steps import ELSEWHERE, FAULTS, STORY, Cell, cells, why_not
from tests.faults.trials import drawn, trial_of
from tests.fix_region import NewRegion
from workers.edge import edge_worker
from workers.host import host_worker
from workers.region import region_worker
from workflows.options import STEPS

ALL = bool(os.environ.get("FAULTS_ALL"))
ONLY = os.environ.get("FAULTS_ONLY", "")
SEED = int(os.environ.get("FAULTS_SEED") or 1)
PAIRS = 200 if ALL else 20


def chosen() -> list[Cell]:
    possible = [cell for cell in cells() if why_not(cell) is None]
    if ONLY:
        return [cell for cell in possible if any(fnmatch.fnmatch(cell.name, only) for only in ONLY.split(","))]
    if ALL:
        return possible
    return [cell for cell in possible if cell in _part()]


def _part() -> set[Cell]:
    """Like a chess board, half of it: another seed takes the other half. Of what takes a process, one for two steps."""
    part = set()
    for row, step in enumerate(step for step in STEPS if step not in ELSEWHERE):
        its = [Cell(step, fault) for fault in FAULTS if why_not(Cell(step, fault)) is None]
        part |= {cell for column, cell in enumerate(its) if (row + column + SEED) % 2 and not cell.is_process}
        processes = [cell for cell in its if cell.is_process]
        part |= {processes[row // 2 % len(processes)]} if (row + SEED) % 2 else set()
    return part


def pairs() -> list[str]:
    if ONLY:
        return [only for only in ONLY.split(",") if only.startswith("pair:")]
    return [f"pair:{number}" for number in range(PAIRS)]


def test_every_step_has_a_story() -> None:
    assert set(STORY) | ELSEWHERE == set(STEPS)


async def test_every_registered_step_is_struck(new_region: NewRegion, tmp_path: Path) -> None:
    async with new_region(workers=False) as region:
        with Epochs(tmp_path / "epochs.sqlite") as epochs:
            nobody: Any = None
            host = region.host.host()
            workers = (
                region_worker(region.client, region.pool, region.settings),
                host_worker(region.client, host, nobody, region.settings, Fence(epochs), Ports(host, nobody)),
                edge_worker(region.client, Edges(SimulatedEdge(), nobody), 1),
            )
    registered = {activity.__name__ for worker in workers for activity in worker.config()["activities"]}
    assert registered == set(STORY) | ELSEWHERE


def test_the_part_has_each_step_and_each_fault() -> None:
    part = [cell for cell in _part() if why_not(cell) is None]
    assert {cell.step for cell in part} == set(STORY)
    assert {cell.fault for cell in part} == set(FAULTS)


@pytest.mark.timeout(3600)
async def test_the_matrix(new_region: NewRegion, capsys: pytest.CaptureFixture[str]) -> None:
    own = [cell for cell in chosen() if cell.is_alone]
    common = [trial_of(cell) for cell in chosen() if not cell.is_alone]
    common += [drawn(name, SEED) for name in pairs()]
    report.begin()
    async with battlefield(new_region) as field:
        results = [*await fight_together(field, common), *await fight_alone(field, own)]

    text = report.of_matrix(results, SEED)
    with capsys.disabled():
        print(f"\n{text}")
    assert results
    assert {result.name: result.wrong for result in results if result.wrong} == {}
