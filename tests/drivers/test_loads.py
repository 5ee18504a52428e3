"""How busy a host is, out of two looks at its counters; and that an answer spans the window whoever asked before."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from infra.domain.models import Link
from infra.drivers import loads
from infra.drivers.loads import Loads, Sample, between

IDLE = {"user": 0.0, "system": 0.0, "idle": 0.0, "iowait": 0.0, "steal": 0.0, "guest": 0.0}
BEFORE = Sample(0.0, IDLE, {"eth0": (0, 0)})


def after(seconds: float = 10.0, moved: tuple[int, int] = (0, 0), **cpu: float) -> Sample:
    return Sample(seconds, {**IDLE, **cpu}, {"eth0": moved})


@pytest.mark.parametrize(
    ("cpu", "busy", "waits"),
    [
        ({"idle": 10.0}, 0.0, 0.0),
        ({"idle": 5.0, "user": 5.0}, 0.5, 0.0),
        ({"idle": 5.0, "iowait": 5.0}, 0.0, 0.5),
        ({"idle": 2.0, "iowait": 2.0, "system": 2.0, "steal": 4.0}, 0.6, 0.2),
        ({"user": 8.0, "guest": 8.0, "idle": 2.0}, 0.8, 0.0),  # a guest's time is in the user's
        ({}, 0.0, 0.0),
    ],
)
def test_time_is_shared_out(cpu: dict[str, float], busy: float, waits: float) -> None:
    told = between(BEFORE, after(**cpu), {})
    assert (told.cpu_busy, told.io_wait, told.net_saturation) == (pytest.approx(busy), pytest.approx(waits), 0.0)


def test_a_counter_that_goes_backwards_counts_as_standing() -> None:
    before = Sample(0.0, {**IDLE, "iowait": 9.0}, {})
    told = between(before, after(iowait=8.0, idle=10.0), {})
    assert (told.cpu_busy, told.io_wait) == (0.0, 0.0)


def test_the_busier_direction_of_the_busiest_uplink_counts() -> None:
    before = Sample(0.0, IDLE, {"eth0": (0, 0), "eth1": (0, 0)})
    now = Sample(10.0, IDLE, {"eth0": (1_250_000, 6_250_000), "eth1": (125_000, 0)})
    told = between(before, now, {"eth0": 10, "eth1": 10})
    assert told.links == {"eth0": Link(10, 0.1, 0.5), "eth1": Link(10, 0.01, 0.0)}
    assert told.net_saturation == 0.5


@pytest.mark.parametrize("speeds", [{"eth0": None}, {"gone0": 10}])
def test_an_uplink_without_a_speed_or_a_counter_counts_for_nothing(speeds: dict[str, int | None]) -> None:
    (name,) = speeds
    told = between(BEFORE, after(moved=(10**9, 10**9)), speeds)
    assert (told.links, told.net_saturation) == ({name: Link(speeds[name])}, 0.0)


def test_an_answer_spans_the_window_however_often_it_is_asked_for() -> None:
    clock = 0.0

    def counters(_: object) -> Sample:  # idle until 100, then busy
        return Sample(clock, {**IDLE, "idle": min(clock, 100.0), "user": max(0.0, clock - 100.0)}, {})

    with patch.object(loads, "sample", counters):
        measured, answers = Loads(window=30.0), {}
        for second in range(1, 161):
            clock = float(second)
            if second % 5 == 0:
                measured.look()
            if second % 7 == 0 or second in (115, 116, 130, 145):
                answers[second] = measured.busy().cpu_busy

    assert answers[98] == 0.0
    assert answers[115] == pytest.approx(0.5)
    assert answers[116] == pytest.approx(0.53, abs=0.08)
    assert answers[130] == answers[145] == 1.0
