"""The bench of placement runs, and measures every figure of every strategy. Which is best is not asserted here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.placement.__main__ import main
from tests.bench.placement.orders import FLEETS, fleet, orders
from tests.bench.placement.report import FIGURES
from tests.bench.placement.strategies import STRATEGIES


def test_every_figure_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick"], results=tmp_path)
    (table,) = tmp_path.glob("*.json")
    (picture,) = tmp_path.glob("*.png")
    told = json.loads(table.read_text())
    assert told["median"].keys() == FLEETS.keys()
    for figures in told["median"].values():
        assert figures.keys() == FIGURES.keys()
        for of_strategies in figures.values():
            assert of_strategies.keys() == STRATEGIES.keys()
    assert picture.read_bytes().startswith(b"\x89PNG")
    told_the_eye = capsys.readouterr().out
    assert all(title in told_the_eye for title in FIGURES.values())


def test_a_seed_draws_the_same_orders_and_hosts_again() -> None:
    assert orders(7, 500) == orders(7, 500) != orders(8, 500)
    for name in FLEETS:
        assert fleet(name, 7).digest() == fleet(name, 7).digest()
    assert fleet("mixed", 7).digest() != fleet("mixed", 8).digest()
