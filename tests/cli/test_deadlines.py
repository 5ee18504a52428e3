"""The published deadlines are those that the workflows go by."""

from __future__ import annotations

from tests.cli.run import puchify
from workflows.options import STEPS


def test_every_step_is_listed_with_its_times() -> None:
    ended = puchify("deadlines")

    assert ended.code == 0, ended.err
    rows = {line.split()[0]: line.split() for line in ended.out.splitlines() if line}
    assert rows.keys() >= STEPS.keys()
    assert rows["define_machine"][1:5] == ["host", "30", "5", "90"]
    assert rows["release_quota"][1:5] == ["region", "10", "-", "ever"]


def test_they_follow_the_settings() -> None:
    usual, patient = puchify("deadlines"), puchify("deadlines", guest_patience=1000)

    assert "   1020  a create runs, or begins to undo" in usual.out
    assert "   3150  a create runs, or begins to undo" in patient.out
    assert "   1660  a create has failed for its owner" in usual.out  # 1020 + 400 + 120 + 2 * 60
