"""How busy a host is: its processors, what they wait for disks, and its uplinks, as shares of a window that ends now.

Counters are looked at again and again, and an answer spans the whole window whoever asked when before: reports that
come one after the other say the same of the same time. A host that waits for its disks while all processors are busy
has no I/O wait any more (proc(5)), but it is busy then, and whoever ranks hosts takes the larger of the two. Pressure
stall information is left out: one guest that writes and syncs alone drives its "some" to 1 on a host of any size.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from infra.domain.models import Link

WINDOW = 30.0  # seconds: a report covers the time since the one before
LOOKS = 6  # in a window
BITS_OF_MBIT = 1_000_000
IDLE = ("idle", "iowait")
TOLD_TWICE = ("guest", "guest_nice")  # they are in user and nice already


@dataclass(frozen=True, slots=True)
class Sample:
    """``cpu``: seconds by kind since the boot. ``moved``: bytes received and sent of each uplink that is there."""

    at: float
    cpu: Mapping[str, float]
    moved: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Busy:
    """Shares in [0, 1]. ``net_saturation``: of the busiest uplink in its busier direction."""

    cpu_busy: float
    io_wait: float
    net_saturation: float
    links: dict[str, Link]


class Loads:
    """``window``: seconds. Until so much has passed, an answer is about the time since the beginning."""

    def __init__(self, uplinks: Sequence[str] = (), window: float = WINDOW) -> None:
        self._uplinks = tuple(uplinks)
        self._window = window
        self._samples: deque[Sample] = deque()
        self.look()

    @property
    def pause(self) -> float:
        """Seconds until the next look is due."""
        return self._window / LOOKS

    def look(self) -> None:
        """Take a sample, and forget all but one of those from before the window."""
        now = sample(self._uplinks)
        while len(self._samples) > 1 and self._samples[1].at <= now.at - self._window:
            self._samples.popleft()
        self._samples.append(now)

    def busy(self) -> Busy:
        self.look()
        return between(self._samples[0], self._samples[-1], speeds(self._uplinks))


def sample(uplinks: Sequence[str]) -> Sample:
    counters = psutil.net_io_counters(pernic=True) if uplinks else {}
    moved = {name: (told.bytes_recv, told.bytes_sent) for name in uplinks if (told := counters.get(name))}
    return Sample(time.monotonic(), psutil.cpu_times()._asdict(), moved)


def speeds(uplinks: Sequence[str]) -> dict[str, int | None]:
    """In Mbit/s; None where nobody knows: virtual links, those without carrier, and those that are gone."""
    stats = psutil.net_if_stats() if uplinks else {}
    return {name: (told.speed or None) if (told := stats.get(name)) else None for name in uplinks}


def between(before: Sample, now: Sample, speeds: Mapping[str, int | None]) -> Busy:
    spent = {kind: max(0.0, now.cpu[kind] - before.cpu[kind]) for kind in now.cpu}  # the kernel's may go backwards
    whole = sum(seconds for kind, seconds in spent.items() if kind not in TOLD_TWICE)
    idle, waited = sum(spent.get(kind, 0.0) for kind in IDLE), spent.get("iowait", 0.0)
    links = {name: _link(name, before, now, speed) for name, speed in speeds.items()}
    shares = [share for link in links.values() for share in (link.received, link.sent) if share is not None]
    return Busy(
        cpu_busy=1 - idle / whole if whole else 0.0,
        io_wait=waited / whole if whole else 0.0,
        net_saturation=max(shares, default=0.0),
        links=links,
    )


def _link(name: str, before: Sample, now: Sample, speed: int | None) -> Link:
    passed = now.at - before.at
    if not speed or passed <= 0 or name not in now.moved or name not in before.moved:
        return Link(speed)
    bits = [(here - there) * 8 for here, there in zip(now.moved[name], before.moved[name], strict=True)]
    received, sent = (min(1.0, max(0.0, moved / passed / (speed * BITS_OF_MBIT))) for moved in bits)
    return Link(speed, received, sent)
