"""A long soak: one restart storm after the other on the same deployment, until the time is over. ``make soak``.

Not collected with the tests. The first process of each kind is spared, so that a leak has time to show; Temporal and
PostgreSQL are one each and are killed like the others.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from tests.fix_stack import Stack
from tests.storm.memory import Memory
from tests.storm.storm import Storm, deployed

SPARED = frozenset({"api", "region", "host"})


@pytest.mark.timeout(0)
async def test_soak(own_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    minutes, seed = float(os.environ.get("MINUTES") or 10), os.environ.get("SEED") or str(int(time.time()))
    until = time.monotonic() + 60 * minutes
    async with deployed(own_stack, tmp_path) as deployment:
        memory = Memory(deployment)
        for nth in itertools.count(1):
            report = await Storm(deployment, own_stack, f"{seed}.{nth}", SPARED).rage(turns=1)
            memory.take()
            with capsys.disabled():
                print(f"\n{report}\n{memory}\n", flush=True)
            assert not report.wrongs, (
                f"make soak SEED={seed} brings it about again, perhaps: chance has other hands too"
            )
            if time.monotonic() > until:
                return
