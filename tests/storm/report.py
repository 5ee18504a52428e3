"""What a storm did and what became of it, as a small table for whoever watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from tests.storm.lives import Fate, Life


@dataclass(frozen=True, slots=True)
class Report:
    """``back_after``: seconds, by blow. ``calm_after``: seconds from the last blow until all was settled."""

    seed: str
    seconds: float
    calm_after: float
    back_after: Mapping[str, list[float]]
    lives: list[Life]
    unanswered: Counter[str]
    wrongs: list[str]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"storm, seed {self.seed}: {self.seconds:.0f} s, calm {self.calm_after:.1f} s after the last blow"
        for blow, times in sorted(self.back_after.items()):
            again = f"all at work again after {median(times):.1f} s, at most {max(times):.1f} s"
            yield f"  {blow:<16}{len(times):>3} ×  {again}"
        for fate in Fate:
            ended = Counter(life.outcome or "no end" for life in self.lives if life.fate is fate)
            yield f"  {fate.value:<24}{ended.total():>4} orders: {_counted(ended)}"
        yield f"  asked again after: {_counted(self.unanswered) or 'nothing'}"
        yield from (f"  WRONG: {wrong}" for wrong in self.wrongs)


def _counted(what: Counter[str]) -> str:
    return ", ".join(f"{one} {count}" for one, count in what.most_common())
