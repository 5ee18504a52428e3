"""The bench runs, measures every row, and compares with a floor that has our shape. Times are never asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.bench.__main__ import QUICK, run
from tests.bench.report import BOOKS, STEPS, WAYS
from tests.bench.trace import STEPS_OF


@pytest.mark.usefixtures("temporal")  # it has been built before the session's network was cut off
async def test_every_row_is_measured(tmp_path: Path) -> None:
    report = await run(("simulated",), quick=True, results=tmp_path)
    told = json.loads(report.write(tmp_path).read_text())
    measured = told["hosts"]["simulated"]
    assert measured["pipeline"]["differences"] == []
    for whose in ("puchify", "floor"):
        assert measured["pipeline"][whose]["wall"].keys() == {*WAYS, *STEPS}
        assert measured["pipeline"][whose]["in_hand"].keys() == STEPS_OF.keys()
    assert measured["rates"].keys() == {str(width) for width in QUICK.creates}
    assert told["books"]["rows"].keys() == BOOKS.keys()
    assert told["crowd"]["passed"] > 0 < told["crowd"]["refused"]
    assert [row["hosts"] for row in told["placing"]] == [100]
    assert told["reporting"]["per_second"] > 0
    assert told["reporting"]["through_api"].keys() == {"postgres", "api"}
    if report.ports is not None:  # root
        assert {size: row["n"] for size, row in told["ports"]["attach"].items()} == {"1": 2, "3": 2}
    if report.images is not None:  # root
        assert [row["servers"] for row in told["firewalls"]] == [1]
        assert told["images"]["fetches"] == 1
    assert {"cores", "versions", "kernel"} <= told["machine"].keys()
    assert len(list(report.lines())) > len(WAYS) + len(STEPS) + len(BOOKS)
    assert os.listdir(tmp_path) == [report.path(tmp_path).name]  # nothing else is left
