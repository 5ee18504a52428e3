"""A placement explained to operators: each host with what dropped it or how it scored, and why one was not chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from infra.domain.host_table import UNKNOWN, HostView
from infra.domain.models import Resources
from infra.domain.placement import FILTERS, STALE_S, TERMS, Ask, Ranking, rank
from infra.domain.sizes import GIB, MIB, Size

Names = Mapping[int, str]
"""Of hosts, by their ids; one that is gone has none."""
Reason = Callable[[HostView, Ask], str]

HEAD = ("", "", "HOST", "SCORE", *(term.upper() for term in TERMS), "DROPPED BY")


@dataclass(frozen=True, slots=True)
class Explained:
    """``chosen``: the host that was claimed; None: none was."""

    ranking: Ranking
    names: Names
    chosen: int | None

    def of(self, ranking: Ranking) -> Explained:
        """Another placement of the same server: nobody claimed anything by it."""
        return replace(self, ranking=ranking, chosen=None)

    def summary(self) -> list[str]:
        hosts, dropped = len(self.ranking.hosts), self.ranking.dropped
        told = ", ".join(f"{name} {count}" for name, count in dropped.items() if count)
        return [
            f"asked for: {size_of(self.ranking.ask.resources)}, {self.ranking.ask.architecture}",
            f"of {hosts} host{'s' * (hosts != 1)} {len(self.ranking)} fit" + (f"; dropped by {told}" if told else ""),
            f"score: {' + '.join(f'{getattr(self.ranking.weights, term):g} {term}' for term in TERMS)}",
        ]

    def rows(self, most: int) -> list[tuple[str, ...]]:
        """The hosts that fit, best first, then those that do not: a row each, of ``most`` hosts of either kind."""
        ids, order = self.ranking.hosts.ids, self.ranking.order.tolist()
        fit = set(order)
        others = [row for row in range(len(ids)) if row not in fit]
        return [
            HEAD,
            *(self._fitting(place, row) for place, row in enumerate(order[:most], 1)),
            *(self._dropped(row) for row in others[:most]),
        ]

    def rest(self, most: int) -> list[str]:
        """How many hosts ``rows`` leaves out."""
        fit, all_hosts = len(self.ranking), len(self.ranking.hosts)
        more = {"that fit": fit - most, "that do not": all_hosts - fit - most}
        told = " and ".join(f"{count} {which}" for which, count in more.items() if count > 0)
        return [f"... and {told}"] if told else []

    def why_not(self, host_id: int) -> list[str]:
        """Each filter that drops the host, in figures; or how it scored beside the one that was chosen."""
        row = int(self.ranking.hosts.rows([host_id])[0])
        name = name_of(self.names, host_id)
        if row == UNKNOWN:
            return [f"{name} was not among the hosts of the location"]
        host = self.ranking.hosts.at(row)
        if failed := self._failed(row):
            told = (f"  {one}: {REASONS[one](host, self.ranking.ask)}" for one in failed)
            return [f"{name} does not fit:", *told]
        place = self.ranking.order.tolist().index(row) + 1
        if host_id == self.chosen:
            return [f"{name} was chosen, as number {place} of {len(self.ranking)} that fit"]
        return [f"{name} fits, as number {place} of {len(self.ranking)}", *self._beside(row)]

    def _beside(self, row: int) -> list[str]:
        """Term by term, weighted, beside the host that was chosen, the greatest difference first."""
        if self.chosen is None or (other := int(self.ranking.hosts.rows([self.chosen])[0])) == UNKNOWN:
            return []
        weights = [getattr(self.ranking.weights, term) for term in TERMS]
        mine, theirs = (self.ranking.terms[:, one].tolist() for one in (row, other))
        told = [
            (weight * (yours - own), f"  {term}: {own:.3f}, there {yours:.3f} ({weight * (yours - own):+.3f} of score)")
            for term, weight, own, yours in zip(TERMS, weights, mine, theirs, strict=True)
        ]
        score, best = float(self.ranking.scores[row]), float(self.ranking.scores[other])
        head = f"{name_of(self.names, self.chosen)} was chosen with {best:.4f} against {score:.4f}:"
        return [head, *(line for _, line in sorted(told, key=lambda one: -abs(one[0])))]

    def _fitting(self, place: int, row: int) -> tuple[str, ...]:
        host_id = int(self.ranking.hosts.ids[row])
        terms = (f"{term:.3f}" for term in self.ranking.terms[:, row])
        mark = ">" if host_id == self.chosen else ""
        return (str(place), mark, name_of(self.names, host_id), f"{self.ranking.scores[row]:.4f}", *terms, "")

    def _dropped(self, row: int) -> tuple[str, ...]:
        name = name_of(self.names, int(self.ranking.hosts.ids[row]))
        return ("-", "", name, "", *("" for _ in TERMS), ", ".join(self._failed(row)))

    def _failed(self, row: int) -> list[str]:
        return [name for name, passed in zip(FILTERS, self.ranking.passed[:, row], strict=True) if not passed]


def what_if(ranking: Ranking, resources: Resources) -> Ranking:
    """The same placement, had the server been of another size."""
    return rank(ranking.hosts, replace(ranking.ask, resources=resources), ranking.weights)


def name_of(names: Names, host_id: int) -> str:
    return names.get(host_id, f"host {host_id} (gone)")


def size_of(resources: Resources) -> str:
    cores = f"{resources.cores} core{'s' * (resources.cores != 1)}"
    return f"{cores}, {Size(resources.memory_mib * MIB)} memory, {Size(resources.disk_gib * GIB)} disk"


def _promised(name: str, unit: int) -> Reason:
    def told(host: HostView, ask: Ask) -> str:
        used, whole, more = getattr(host, f"used_{name}"), getattr(host, name), getattr(ask.resources, name)
        if unit == 1:
            return f"{used} of {whole} are promised; {more} more do not fit"
        return f"{Size(used * unit)} of {Size(whole * unit)} are promised; {Size(more * unit)} more do not fit"

    return told


def _free(name: str, unit: int) -> Reason:
    def told(host: HostView, ask: Ask) -> str:
        free, more = getattr(host, f"free_{name}"), getattr(ask.resources, name)
        return f"{Size(free * unit)} are really free; {Size(more * unit)} were asked for"

    return told


def _report(host: HostView, ask: Ask) -> str:
    if not host.reported:
        return "it has not reported, or was waited for in vain since"
    return f"its last report was {ask.now - host.reported:.0f} s old; after {STALE_S:.0f} s a host is not asked"


REASONS: Mapping[str, Reason] = {
    "state": lambda host, ask: f"it is {host.state}",
    "report": _report,
    "architecture": lambda host, ask: f"it is {host.architecture}, the image {ask.architecture}",
    "excluded": lambda host, ask: "it failed this order before",
    "placement_group": lambda host, ask: "it holds a server of the placement group",
    "cores": _promised("cores", 1),
    "memory": _promised("memory_mib", MIB),
    "disk": _promised("disk_gib", GIB),
    "free_memory": _free("memory_mib", MIB),
    "free_disk": _free("disk_gib", GIB),
}
"""What each filter saw of a host that it drops."""
