"""The report: one table for the eye, target beside measure beside floor, and all of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.domain.firewalls import MOST_RANGES, MOST_RULES
from tests.bench.books import Books
from tests.bench.crowd import CROWD, PROCESSES, Crowd
from tests.bench.figures import Summary
from tests.bench.firewalls import Firewalls
from tests.bench.images import AT_ONCE, SLOW, FirstUse, ImageStep
from tests.bench.parallel import Rate
from tests.bench.pipeline import Pipeline
from tests.bench.ports import PortStep
from tests.bench.reports import EVERY, SERVERS, Cost
from tests.bench.scheduling import PACE, WORKERS, Placing
from tests.bench.trace import AFTER_GUEST

WAYS = {"answer": "POST to answer", "boot command": "POST to boot command", "running": "POST to running"}
STEPS = {
    "quota": "3 quota (in the story)",
    "schedule": "4 schedule (in the story)",
    "addresses": "5 network: addresses",
    "network": "5 network: ports",
    "image": "6 image",
    "boot": "7 boot: define, start",
    "health": "8 health",
}
ON_HOST = ("network", "image", "boot", "health")
TARGETS: Mapping[str, Mapping[str, float]] = {
    "simulated": {"boot command": 300, "quota": 4, "schedule": 5, "network": 80, "image": 350, "health": 250},
    "libvirt": {"boot command": 600, "quota": 4, "schedule": 5, "network": 80, "image": 350},
}
"""Milliseconds at the median, from the design, for a machine of two cores that is idle."""
BOOKS = {
    "authenticate": ("1 authenticate, rate limit", 2),
    "authenticate floor": ("  ... beside one indexed SELECT", None),
    "validate": ("2 validate: JSON and schema", 0.5),
    "choose": ("2 ... and what it names looked up", None),
    "list servers": ("GET /servers, 25 of 10,000", 10),
    "list servers, last page": ("  ... the last page", None),
    "list servers by label": ("  ... by label", None),
    "list servers floor": ("  ... beside two indexed SELECTs", None),
    "choose beside 11,000 hosts": ("2 ... in books that hold 11,000 hosts", None),
    "accept": ("  ... and the order written", None),
    "reserve quota": ("3 quota", 4),
    "assign addresses": ("5 network: addresses", None),
}
HEAD = f"{'':40}{'target':>8}{'p50':>9}{'p95':>9}{'floor p50':>11}{'p95':>9}{'ratio':>7}"


@dataclass(frozen=True, slots=True)
class OfHost:
    """``rates``: by the number of creates at a time; Puchify's, then the floor's."""

    pipeline: Pipeline
    rates: Mapping[int, tuple[Rate, Rate]]


@dataclass(frozen=True, slots=True)
class Report:
    began: datetime
    quick: bool
    machine: Mapping[str, Any]
    hosts: Mapping[str, OfHost]
    books: Books
    crowd: Crowd
    placing: Sequence[Placing]
    reporting: Cost
    firewalls: Sequence[Firewalls]
    ports: PortStep | None
    images: ImageStep | None

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        path = self.path(directory)
        told = {**asdict(self), "began": self.began.isoformat(), "targets_ms": TARGETS}
        path.write_text(json.dumps(told, indent=1) + "\n")
        return path

    def path(self, directory: Path) -> Path:
        return directory / f"{self.began.astimezone(UTC):%Y%m%dT%H%M%SZ}.json"

    def lines(self) -> Iterator[str]:
        told = self.machine
        yield f"{told['cores']} cores ({told['processor']}), {told['memory_mib']} MiB, kernel {told['kernel']}; ms"
        if self.quick:
            yield "quick: it only shows that everything can be measured; the figures mean nothing"
        for host, measured in self.hosts.items():
            yield from pipeline_lines(host, measured.pipeline)
            yield from cpu_lines(host, measured.pipeline)
            yield from rate_lines(host, measured.rates)
        yield from book_lines(self.books)
        yield from crowd_lines(self.crowd)
        yield from placing_lines(self.placing)
        yield from reporting_lines(self.reporting)
        yield from (
            firewall_lines(self.firewalls) if self.firewalls else ["\nfirewalls were not measured: that needs root"]
        )
        yield from port_lines(self.ports) if self.ports else ["\nthe ports were not measured: that needs root"]
        yield from image_lines(self.images) if self.images else ["\nthe image step was not measured: that needs root"]


def pipeline_lines(host: str, pipeline: Pipeline) -> Iterator[str]:
    """A step's time is the wall's, from its scheduling to its end, so the floor's is what Temporal takes of it."""
    count = pipeline.puchify.wall["answer"].n
    yield f"\n{host}: {count} creates one at a time, the floor's by turns (load {_span(pipeline.load)})"
    yield HEAD
    for row, title in {**WAYS, **STEPS}.items():
        ours, floor = pipeline.puchify.wall[row], pipeline.floor.wall[row]
        target = TARGETS[host].get(row)
        yield (
            f"{title:40}{_target(target):>8}{ours.p50:9.1f}{ours.p95:9.1f}{floor.p50:11.1f}{floor.p95:9.1f}"
            f"{_ratio(ours.p50, floor.p50):>7}"
        )
        if row in ON_HOST:
            ours, floor = pipeline.puchify.in_hand[row], pipeline.floor.in_hand[row]
            yield f"{'  ... of it in the worker':48}{ours.p50:9.1f}{ours.p95:9.1f}{floor.p50:11.1f}{floor.p95:9.1f}"
    if after := pipeline.puchify.wall.get(AFTER_GUEST):
        yield f"{'  ... of it after the guest answers':40}{_target(250):>8}{after.p50:9.1f}{after.p95:9.1f}"
    yield from (f"the floor is of another shape: {difference}" for difference in pipeline.differences)


CPU = {
    "api": "API",
    "region": "region worker",
    "host": "host worker",
    "floor-region": "region worker",
    "floor-host": "host worker",
    "temporal": "Temporal",
    "postgres": "PostgreSQL",
}


def cpu_lines(host: str, pipeline: Pipeline) -> Iterator[str]:
    """What a create costs, which the machine's other work does not change."""
    title = f"{host}: processor time a create"
    yield f"\n{title:48}{'ours':>9}{'':9}{'floor':>11}{'':9}{'ratio':>7}"
    ours, floor = (_by_title(measured.cpu) for measured in (pipeline.puchify, pipeline.floor))
    for title in ours:
        yield f"{title:48}{ours[title]:9.1f}{'':9}{floor[title]:11.1f}{'':9}{_ratio(ours[title], floor[title]):>7}"


def _by_title(cpu: Mapping[str, float]) -> dict[str, float]:
    """Only the API's, the workers' and the engines': the client and the web UI are the bench's and nobody's."""
    named = dict.fromkeys(CPU.values(), 0.0)
    for process, title in CPU.items():
        named[title] += cpu.get(process, 0.0)
    return {**named, "all of it": sum(named.values())}


def rate_lines(host: str, rates: Mapping[int, tuple[Rate, Rate]]) -> Iterator[str]:
    title = f"{host}: creates at a time"
    yield f"\n{title:48}{'/s':>9}{'boot p50':>9}{'floor /s':>11}{'boot p50':>9}{'ratio':>7}"
    for width, (ours, floor) in rates.items():
        boot, floor_boot = (rate.rows["boot command"].p50 for rate in (ours, floor))
        title = f"{width} ({ours.creates} creates, load {ours.load})"
        yield (
            f"{title:40}{'':8}{ours.per_second:9.2f}{boot:9.1f}{floor.per_second:11.2f}{floor_boot:9.1f}"
            f"{_ratio(floor.per_second, ours.per_second):>7}"
        )


def book_lines(books: Books) -> Iterator[str]:
    yield f"\nat the edge and in the books, in this process, one at a time (load {_span(books.load)})"
    yield HEAD[: HEAD.index("floor")]
    for row, (title, target) in BOOKS.items():
        measured: Summary = books.rows[row]
        yield f"{title:40}{_target(target):>8}{measured.p50:9.2f}{measured.p95:9.2f}"


def crowd_lines(crowd: Crowd) -> Iterator[str]:
    asked = f"one user asks {CROWD:,} times a second of {PROCESSES} API processes for {crowd.seconds:.1f} s"
    yield f"\n{asked} (load {_span(crowd.load)})"
    yield f"{'let through, where 2 % off is the most':40}{crowd.fair:8.0f}{crowd.passed:9}{crowd.off:+9.1f} %"
    yield f"{'':48}{'p50':>9}{'p95':>9}"
    for title, measured in (("another user's GET, alone", crowd.alone), ("  ... beside it", crowd.beside)):
        yield f"{title:48}{measured.p50:9.2f}{measured.p95:9.2f}"


PLACING = {100: None, 1_000: 5, 10_000: 15}
"""Milliseconds at the median, by the number of hosts."""


def placing_lines(measured: Sequence[Placing]) -> Iterator[str]:
    yield f"\n4 schedule: the decision and its claim; {WORKERS} workers at {PACE:g} a second each, and flat out"
    yield f"{'':40}{'target':>8}{'p50':>9}{'p95':>9}"
    for placing in measured:
        target = _target(PLACING.get(placing.hosts))
        rows = {
            f"among {placing.hosts:,} hosts (load {_span(placing.load)})": (target, placing.one),
            f"  ... {WORKERS} workers": (target, placing.eight),
            f"  ... {WORKERS} flat out, {placing.per_second:g}/s": ("", placing.flat_out),
        }
        for title, (asked, of) in rows.items():
            yield f"{title:40}{asked:>8}{of.p50:9.2f}{of.p95:9.2f}"


def reporting_lines(cost: Cost) -> Iterator[str]:
    yield (
        f"\n{cost.hosts:,} hosts with {SERVERS} servers each report every {EVERY:g} s, {cost.per_second:g} a second"
        f" (load {_span(cost.load)})"
    )
    yield f"{'PostgreSQL, per cent of one core':40}{'20':>8}{100 * cost.cores:9.1f}"
    yield f"{'  ... while nobody reports':48}{100 * cost.idle_cores:9.1f}"
    yield f"{'its log, kB/s':48}{cost.wal / 1000:9.0f}"
    for table, sizes in cost.kib.items():
        yield f"{f'{table}, MiB after each round':48}" + "".join(f"{kib / 1024:9.1f}" for kib in sizes)
    for process, milliseconds in cost.through_api.items():
        yield f"{f'through the API, ms of {CPU[process]}':48}{milliseconds:9.2f}"


def port_lines(step: PortStep) -> Iterator[str]:
    yield f"\n5 network: a server's ports beside others' on the real kernel (load {_span(step.load)})"
    yield f"{'':40}{'target':>8}{'p50':>9}{'p95':>9}"
    for size, attach in step.attach.items():
        rows = {
            f"the ports of server {size}": (80, attach),
            "  ... firewalls changed": (50, step.change[size]),
            "  ... taken away": (None, step.detach[size]),
        }
        for title, (target, of) in rows.items():
            yield f"{title:40}{_target(target):>8}{of.p50:9.1f}{of.p95:9.1f}"
        yield f"{'  ... all looked at, twice a minute':48}{step.look[size]:9.1f}"


def firewall_lines(measured: Sequence[Firewalls]) -> Iterator[str]:
    yield "\n5 network: the rules of one server, on a host that has others"
    yield f"{'':40}{'target':>8}{'p50':>9}{'p95':>9}"
    for firewalls in measured:
        rows = {
            f"a firewall, {firewalls.servers} servers (load {_span(firewalls.load)})": (50, firewalls.change),
            f"  ... of {MOST_RULES} rules with {MOST_RANGES} ranges each": (None, firewalls.largest),
            "  ... all that its ports need": (None, firewalls.ports),
            "  ... all of that away": (None, firewalls.removal),
        }
        for title, (target, of) in rows.items():
            yield f"{title:40}{_target(target):>8}{of.p50:9.1f}{of.p95:9.1f}"


def image_lines(step: ImageStep) -> Iterator[str]:
    yield f"\n6 image: on a host's own storage, {step.data_mib} MiB of data (load {_span(step.load)})"
    yield f"{'':40}{'target':>8}{'p50':>9}{'p95':>9}"
    rows = {
        "cached, a size seen for the first time": (350, step.first_size),
        "cached, a size seen before": (50, step.seen),
        "  ... beside `qemu-img convert`": (None, step.convert),
    }
    for title, (target, of) in rows.items():
        yield f"{title:40}{_target(target):>8}{of.p50:9.1f}{of.p95:9.1f}"
    yield f"{'  convert / clone and grow':48}{_ratio(step.convert.p50, step.first_size.p50):>9}"
    for title, first in (("as fast as it is", step.fast), (f"at {SLOW / 1e6:g} MB/s", step.slow)):
        if first is not None:
            yield from _first_use_lines(title, first)
    yield f"{f'{AT_ONCE} first uses at once, until the last':48}{step.at_once:9.1f}"
    yield f"{'  ... how often they read the store':40}{'1':>8}{step.fetches:9}"


def _first_use_lines(title: str, first: FirstUse) -> Iterator[str]:
    rows = {
        f"a first use, the store read {title}": first.ours,
        "  ... dd to nowhere": first.dd,
        "  ... dd to the host's storage, synced": first.copy,
    }
    for row, of in rows.items():
        yield f"{row:48}{of.p50:9.1f}{of.p95:9.1f}"
    yield f"{'  dd to nowhere / first use':40}{'0.7':>8}{first.dd.p50 / first.ours.p50:9.2f}"
    yield f"{'  dd to storage / first use':48}{first.copy.p50 / first.ours.p50:9.2f}"


def _target(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:g}"


def _ratio(ours: float, floor: float) -> str:
    return f"{ours / floor:.2f}" if floor >= 1 else ""


def _span(load: tuple[float, float]) -> str:
    return f"{load[0]} to {load[1]}"
