"""Never stuck: in so many runs, each with up to three faults drawn at random, none is late for its published deadline.

``make faults RUNS=2000`` runs many, ``make test`` sixty.
"""

from __future__ import annotations

import os

import pytest

from tests.faults import report
from tests.faults.ground import battlefield
from tests.faults.matrix import fight_together
from tests.faults.test_matrix import ONLY, SEED
from tests.faults.trials import drawn
from tests.fix_region import NewRegion
from workflows.audit_region import CREATE_WITHIN, DELETE_WITHIN

RUNS = int(os.environ.get("FAULTS_RUNS") or 60)


def names() -> list[str]:
    if ONLY:
        return [only for only in ONLY.split(",") if only.startswith("run:")]
    return [f"run:{number}" for number in range(RUNS)]


@pytest.mark.skipif(not names(), reason="FAULTS_ONLY names none")
@pytest.mark.timeout(7200)
async def test_random_runs(new_region: NewRegion, capsys: pytest.CaptureFixture[str]) -> None:
    trials = [drawn(name, SEED) for name in names()]
    async with battlefield(new_region) as field:
        results = await fight_together(field, trials)

    with capsys.disabled():
        print(f"\n{report.of_runs(results, SEED)}")
    assert [result.name for result in results if result.wrong] == []
    assert max(result.seconds for result in results) <= CREATE_WITHIN + DELETE_WITHIN
