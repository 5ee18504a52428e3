"""The report: the median over the seeds of each figure and strategy, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.placement.course import TEAM, Course
from tests.bench.placement.strategies import STRATEGIES

FIGURES = {
    "unevenness": "unevenness, second half of the orders",
    "at_end": "unevenness, after the last order",
    "one_rack": f"projects of {TEAM} or more in one rack",
    "fill": "fill at the first refusal",
}
"""Unevenness: the coefficient of variation of the hosts' utilisation. Of all but the last, less is better."""
MORE_IS_BETTER = frozenset({"fill"})
ENOUGH = 0.02
"""How far from the best of the strategies ours may be."""


@dataclass(frozen=True, slots=True)
class Report:
    """``courses``: by fleet and strategy, one a seed."""

    began: datetime
    weights: Mapping[str, Any]
    seeds: tuple[int, ...]
    orders: int
    courses: Mapping[str, Mapping[str, list[Course]]]

    def medians(self, fleet: str, figure: str) -> dict[str, float]:
        return {
            strategy: statistics.median(getattr(course, figure) for course in courses)
            for strategy, courses in self.courses[fleet].items()
        }

    def lines(self) -> Iterator[str]:
        yield f"{self.orders:,} orders, median of {len(self.seeds)} seeds, weights version {self.weights['version']}"
        for fleet, courses in self.courses.items():
            yield f"\n{fleet + ' hosts':40}" + "".join(f"{strategy:>12}" for strategy in STRATEGIES) + "  ours"
            for figure, title in FIGURES.items():
                medians = self.medians(fleet, figure)
                row = "".join(f"{medians[strategy]:12.4f}" for strategy in STRATEGIES)
                yield f"{title:40}{row}  {standing(medians, figure)}"
            refused = {strategy: sum(course.refused for course in courses[strategy]) for strategy in STRATEGIES}
            yield f"{'refused while servers came and went':40}" + "".join(f"{count:12}" for count in refused.values())

    def write(self, directory: Path) -> tuple[Path, Path]:
        """The table and each seed's figures as JSON, and the picture beside it."""
        directory.mkdir(parents=True, exist_ok=True)
        name = f"placement-{self.began.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        table, picture = directory / f"{name}.json", directory / f"{name}.png"
        table.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        draw(self, picture)
        return table, picture

    def as_json(self) -> dict[str, Any]:
        return {
            "began": self.began.isoformat(),
            "weights": self.weights,
            "seeds": self.seeds,
            "orders": self.orders,
            "median": {fleet: {figure: self.medians(fleet, figure) for figure in FIGURES} for fleet in self.courses},
            "by_seed": {
                fleet: {strategy: [figures_of(course) for course in courses] for strategy, courses in of_fleet.items()}
                for fleet, of_fleet in self.courses.items()
            },
        }


def figures_of(course: Course) -> dict[str, float]:
    return {name: value for name, value in asdict(course).items() if not isinstance(value, list)}


def standing(medians: Mapping[str, float], figure: str) -> str:
    """How ours stands beside the best; a share of nothing at all can only be met, or missed by points."""
    best = (max if figure in MORE_IS_BETTER else min)(medians.values())
    off = abs(medians["ours"] - best) / (best or 1)
    return "best" if off == 0 else f"{off:.1%} off the best" + ("" if off <= ENOUGH else ": too far")


def draw(report: Report, path: Path) -> None:
    """Each fleet has a row of courses, of the first seed, and a row of bars below it."""
    import matplotlib as mpl  # slow to import, and only wanted here

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(2 * len(report.courses), 4, figsize=(15, 6.5 * len(report.courses)), squeeze=False)
    colours = dict(zip(STRATEGIES, ("tab:blue", "tab:grey", "tab:orange", "tab:green"), strict=True))
    for number, (fleet, courses) in enumerate(report.courses.items()):
        for axes, strategy in zip(rows[2 * number], STRATEGIES, strict=True):
            course, orders = courses[strategy][0], range(report.orders)
            axes.fill_between(orders, course.low, course.high, color=colours[strategy], alpha=0.3, linewidth=0)
            axes.plot(orders, course.mean, color=colours[strategy])
            axes.set(title=f"{fleet} hosts: {strategy}", ylim=(0, 1), xlabel=f"orders of seed {report.seeds[0]}")
        rows[2 * number][0].set_ylabel("utilisation: mean, 5 % to 95 % of hosts")
        for axes, (name, title) in zip(rows[2 * number + 1], FIGURES.items(), strict=True):
            medians = report.medians(fleet, name)
            bars = axes.bar(list(medians), list(medians.values()), color=[colours[strategy] for strategy in medians])
            axes.bar_label(bars, fmt="%.3f")
            axes.margins(y=0.12)
            axes.set_title(f"{title}\n({'more' if name in MORE_IS_BETTER else 'less'} is better)", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
