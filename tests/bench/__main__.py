"""``python -m tests.bench [--quick] [--host simulated|libvirt|both] [--store PATH]``: measure, print, write the JSON.

On a state directory, ports and (as root) a network of its own; nothing of it is left. A run takes some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.guests.build import ensure_image
from infra.temporal.install import ensure_binaries
from tests.bench import (
    books,
    crowd,
    firewalls,
    images,
    machine,
    network,
    parallel,
    pipeline,
    ports,
    reports,
    scheduling,
)
from tests.bench.report import OfHost, Report
from tests.bench.stack import Bench, running
from tests.bench.subjects import BareTemporal, Puchify

RESULTS = Path(".puchify/bench")


@dataclass(frozen=True, slots=True)
class Effort:
    """How often everything is done. ``creates``: by how many of them at a time."""

    samples: int
    warm_up: int
    creates: Mapping[int, int]
    book_samples: int
    crowd_seconds: int = 10
    placing_seconds: float = 10
    placing_among: Sequence[int] = scheduling.SIZES
    reporting_hosts: int = 10_000
    reporting_rounds: int = 3
    reporting_seconds: float = 10
    firewall_samples: int = 20
    firewalls_among: Sequence[int] = firewalls.SIZES
    image_mib: int = 400
    image_samples: int = 20
    port_sizes: Sequence[int] = (1, 50, 100, 200)
    port_samples: int = 20


FULL = Effort(samples=40, warm_up=5, creates={1: 20, 10: 60, 50: 150}, book_samples=50)
GUESTS = Effort(samples=12, warm_up=1, creates={1: 5, 10: 20, 50: 50}, book_samples=50)
"""For real guests, each of which boots for seconds."""
QUICK = Effort(
    samples=2,
    warm_up=0,
    creates={1: 1, 10: 2, 50: 3},
    book_samples=2,
    crowd_seconds=1,
    placing_seconds=1,
    placing_among=(100,),
    reporting_hosts=30,
    reporting_rounds=1,
    reporting_seconds=1,
    firewall_samples=2,
    firewalls_among=(1,),
    image_mib=8,
    image_samples=2,
    port_sizes=(1, 3),
    port_samples=2,
)


async def run(hosts: tuple[str, ...], quick: bool, results: Path, store: Path | None = None) -> Report:
    began = datetime.now(UTC)
    measured, in_the_books, at_the_gate, placing, reporting = {}, None, None, None, None
    for host in hosts:
        effort = QUICK if quick else FULL if host == "simulated" else GUESTS
        with state_below(results) as state:
            async with running(state, host) as bench:
                measured[host] = await measure(bench, effort)
                in_the_books = in_the_books or await books.measure(bench.scratch_url, effort.book_samples)
                at_the_gate = at_the_gate or await crowd.measure(bench, effort.crowd_seconds)
                placing = placing or await scheduling.measure(
                    bench.scratch_url, effort.placing_seconds, effort.placing_among
                )
                reporting = reporting or await reports.measure(
                    bench, effort.reporting_hosts, effort.reporting_rounds, effort.reporting_seconds
                )
    port_step = await ports.measure(effort.port_sizes, effort.port_samples)
    rules = await asyncio.to_thread(firewalls.measure, effort.firewall_samples, effort.firewalls_among)
    with state_below(results) as state:
        image_step = await images.measure(state, effort.image_mib, effort.image_samples, store)
    assert in_the_books is not None, "there is at least one host"
    assert at_the_gate is not None
    assert placing is not None
    assert reporting is not None
    alone = (in_the_books, at_the_gate, placing, reporting, rules, port_step, image_step)
    return Report(began, quick, machine.facts(), measured, *alone)


async def measure(bench: Bench, effort: Effort) -> OfHost:
    ours, floor = Puchify(bench), BareTemporal(bench.bare_client)
    one_by_one = await pipeline.measure(bench, ours, floor, effort.samples, effort.warm_up)
    rates = {
        width: (
            await parallel.measure(bench.client, ours, width, creates),
            await parallel.measure(bench.client, floor, width, creates),
        )
        for width, creates in effort.creates.items()
    }
    return OfHost(one_by_one, rates)


@contextmanager
def state_below(results: Path) -> Iterator[Path]:
    """On the disk that the product's own state lies on."""
    results.mkdir(parents=True, exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="state-", dir=results)).resolve()
    try:
        yield state
    finally:
        shutil.rmtree(state)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything once or twice: shows that it can be measured")
    parser.add_argument("--host", choices=("simulated", "libvirt", "both"), default="both")
    parser.add_argument("--store", type=Path, help="a directory of a replicated store: first uses are measured from it")
    asked = parser.parse_args()
    hosts = ("simulated", "libvirt") if asked.host == "both" else (asked.host,)
    ensure_binaries(print)  # while the package registries can be reached
    if "libvirt" in hosts:
        ensure_image("tiny", log=print)
    network.enter_own()
    report = asyncio.run(run(hosts, asked.quick, RESULTS, asked.store))
    print("\n".join(report.lines()))
    print(f"\nwritten: {report.write(RESULTS)}")


if __name__ == "__main__":
    main()
