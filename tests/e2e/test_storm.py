"""A restart storm: kill -9 of every process in turn, PostgreSQL and Temporal too, while fifty clients are at work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fix_stack import Stack
from tests.storm.storm import Storm, deployed


@pytest.mark.timeout(1500)  # it takes about two minutes on an idle machine
async def test_nothing_is_lost_and_nothing_is_there_twice(
    own_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with deployed(own_stack, tmp_path) as deployment:
        report = await Storm(deployment, own_stack, os.environ.get("SEED", "1")).rage(turns=1)
    with capsys.disabled():
        print(f"\n{report}")
    assert not report.wrongs
