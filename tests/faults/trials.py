"""Trials: one server's story each, and what strikes it; a cell of the matrix, or drawn by a seed.

A trial is the same again from its name and the seed: nothing else is drawn from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.faults.saboteur import Strike
from tests.faults.steps import FAULTS, OF_POWER, ON_EDGES, PROCESS, STEADY, STORY, Cell, StoryName, is_on_host, why_not
from tests.faults.stories import ALWAYS, SETTING
from tests.faults.verdict import End
from workflows.options import STEPS

DRAWN = tuple(fault for fault in FAULTS if fault not in PROCESS and fault != "after_undo")

COMES_TO: dict[StoryName, frozenset[StoryName]] = {
    "create": frozenset({"create"}),
    "doomed": frozenset({"create", "doomed"}),
    "delete": frozenset({"create", "doomed", "delete"}),
    "delete_early": frozenset({"create", "doomed", "delete", "delete_early"}),
    "power": frozenset({"create", "power"}),
    "shutdown": frozenset({"create", "power", "shutdown"}),
}
"""By story: the stories whose steps it takes as well."""


@dataclass(frozen=True, slots=True)
class Trial:
    name: str
    story: StoryName
    plan: tuple[Strike, ...]
    ends: frozenset[End]
    """How it may end."""
    is_sure: bool
    """Whether each strike must have struck."""


def trial_of(cell: Cell) -> Trial:
    story: StoryName = "doomed" if cell.fault == "after_undo" else STORY[cell.step]
    stops = story not in OF_POWER and cell.step not in ON_EDGES
    refuses = stops and cell.fault in ("refused_before", "refused_after")
    ends_well = story in STEADY and not refuses and cell.fault != "delete_arrives"
    return Trial(cell.name, story, (_strike(cell),), frozenset({"running" if ends_well else "gone"}), is_sure=True)


def drawn(name: str, seed: int) -> Trial:
    """A pair of faults, or a run with up to three. Not every one comes to strike: an earlier one can end the story."""
    dice = random.Random(f"{seed}-{name}")
    strikes = 2 if name.startswith("pair:") else dice.randint(1, 3)
    story = dice.choice(sorted(COMES_TO))
    steps = [step for step in STEPS if STORY.get(step) in COMES_TO[story]]
    possible = [cell for step in steps for fault in DRAWN if why_not(cell := Cell(step, fault)) is None]
    plan = tuple(_strike(cell) for cell in dice.sample(possible, strikes))
    dooms = {strike.step for strike in SETTING[story]}  # one of ours may come before what dooms the story
    open_end = story in STEADY or (story == "doomed" and any(strike.step in dooms for strike in plan))
    ends: frozenset[End] = frozenset({"running", "gone"} if open_end else {"gone"})
    return Trial(name, story, plan, ends, is_sure=False)


def _strike(cell: Cell) -> Strike:
    if cell.fault == "undo_fails_once":
        return Strike(cell.step, "bug_once")
    if cell.fault == "undo_fails_long":
        return Strike(cell.step, "error_before", ALWAYS if is_on_host(cell.step) else 4)
    if cell.fault in ("host_gone", "host_back"):
        return Strike(cell.step, "killed_during")
    return Strike(cell.step, cell.fault)
