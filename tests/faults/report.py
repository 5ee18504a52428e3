"""The report: the matrix as a table, steps down and faults across; beneath it what failed, and how to see it again."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.matrix import PROGRESS, Result
from tests.faults.steps import FAULTS, STORY, Cell, cells, why_not


def begin() -> None:
    PROGRESS.unlink(missing_ok=True)


def of_matrix(results: Sequence[Result], seed: int) -> str:
    times = [*_longest(results), *_again(results)]
    parts = [_table(results), _reasons(), _pairs(results), times, _failures(results, seed), _count(results)]
    return _written("faults.txt", parts)


def of_runs(results: Sequence[Result], seed: int) -> str:
    return _written("fault-runs.txt", [_longest(results), _again(results), _failures(results, seed), _count(results)])


def _written(name: str, parts: Sequence[Sequence[str]]) -> str:
    text = "\n\n".join("\n".join(lines) for lines in parts if lines)
    (PROGRESS.parent / name).write_text(f"{text}\n")
    return text


def _table(results: Sequence[Result]) -> list[str]:
    by_name = {result.name: result for result in results}
    letters = {fault: chr(ord("A") + number) for number, fault in enumerate(FAULTS)}
    legend = [f"  {letters[fault]}  {fault:16} {says}" for fault, says in FAULTS.items()]
    head = " " * 20 + "".join(f"{letter:8}" for letter in letters.values())
    rows = [f"{step:20}" + "".join(f"{_cell(by_name, Cell(step, fault)):8}" for fault in FAULTS) for step in STORY]
    title = "Fault matrix: steps x faults. ok, FAILED, n/a (reasons below), - not in this run."
    return [title, *legend, "", head, *rows]


def _cell(by_name: dict[str, Result], cell: Cell) -> str:
    if why_not(cell) is not None:
        return "n/a"
    result = by_name.get(cell.name)
    return "-" if result is None else "FAILED" if result.wrong else "ok"


def _reasons() -> list[str]:
    reasons: dict[str, int] = {}
    for cell in cells():
        if reason := why_not(cell):
            reasons[f"{cell.fault}: {reason}"] = reasons.get(f"{cell.fault}: {reason}", 0) + 1
    return [f"n/a  {reason} ({steps} steps)" for reason, steps in reasons.items()]


def _pairs(results: Sequence[Result]) -> list[str]:
    pairs = [result for result in results if result.name.startswith("pair:")]
    return [f"pairs of faults: {len(pairs)}, of them failed: {sum(bool(pair.wrong) for pair in pairs)}"]


def _longest(results: Sequence[Result]) -> list[str]:
    slowest = sorted(results, key=lambda result: -result.seconds)[:5]
    return ["longest: " + ", ".join(f"{result.name} {result.seconds:.0f} s" for result in slowest)]


def _failures(results: Sequence[Result], seed: int) -> list[str]:
    told = []
    for result in results:
        if result.wrong:
            told += [f"FAILED {result.name} after {result.seconds:.0f} s:", *(f"    {text}" for text in result.wrong)]
            told.append(f'    again: make faults ONLY="{result.name}" SEED={seed}')
    return told


def _again(results: Sequence[Result]) -> list[str]:
    return [f"fought again: {result.name}, {'; '.join(result.before)}" for result in results if result.before]


def _count(results: Sequence[Result]) -> list[str]:
    good = sum(not result.wrong for result in results)
    return [f"{good} of {len(results)} terminal and without a leak"]
