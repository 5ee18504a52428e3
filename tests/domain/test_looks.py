"""Which machines are not what the books say, and how often they have to be seen so before it is told."""

from __future__ import annotations

import pytest

from infra.domain.looks import Looks
from infra.domain.models import Addresses, Confirmed, Image, Machine, MachineState, Resources, Turned
from infra.domain.power import Rest

SERVER, EPOCH = 7, 3
MACHINE = Machine(
    SERVER, EPOCH, 1, "web", Resources(1, 256, 2), Image(1, "tiny", "a" * 64, "x86", 1, True), Addresses(None, None)
)


def claim(status: Rest | None = "running", runs: bool = True) -> Confirmed:
    return Confirmed(MACHINE, runs=runs, rests=not runs, status=status)


def seen(*looks: tuple[MachineState, float], epoch: int = EPOCH) -> Looks:
    told = Looks(sure=10.0)
    for state, at in looks:
        told.look({SERVER: state}, {SERVER: epoch}, at)
    return told


@pytest.mark.parametrize(
    ("status", "runs", "state"),
    [("running", True, "off"), ("running", True, "crashed"), ("unknown", True, "running"), ("unknown", False, "off")],
)
def test_what_is_not_as_the_books_say_is_told(status: Rest, runs: bool, state: MachineState) -> None:
    looks = seen((state, 100.0), (state, 110.0))
    assert looks.turned([claim(status, runs)], 110.0) == {SERVER: Turned(state, EPOCH)}


@pytest.mark.parametrize(
    ("status", "runs", "state"),
    [
        ("running", True, "running"),
        ("running", True, "paused"),
        ("running", False, "off"),  # it is being shut down: its command tells the books
        ("off", False, "off"),
        ("unknown", True, "off"),
        ("unknown", False, "running"),
        (None, True, "off"),  # something works on it
    ],
)
def test_what_is_as_they_say_or_another_s_affair_is_not(status: Rest | None, runs: bool, state: MachineState) -> None:
    assert seen((state, 100.0), (state, 200.0)).turned([claim(status, runs)], 200.0) == {}


@pytest.mark.parametrize(
    "looks",
    [
        seen(("off", 200.0)),
        seen(("off", 190.1), ("off", 200.0)),
        seen(("off", 100.0), ("running", 199.0), ("off", 200.0)),
        seen(("off", 100.0), ("off", 200.0), epoch=EPOCH - 1),  # the host has not heard of a command yet
        seen(("off", 100.0), ("off", 200.0), epoch=EPOCH + 1),  # the claims are from before one
    ],
)
def test_what_is_so_only_for_a_moment_or_under_another_epoch_is_not(looks: Looks) -> None:
    assert looks.turned([claim()], 200.0) == {}


def test_a_new_epoch_begins_anew() -> None:
    looks = seen(("off", 100.0), epoch=EPOCH - 1)
    looks.look({SERVER: "off"}, {SERVER: EPOCH}, 200.0)
    assert looks.turned([claim()], 209.0) == {}
    assert looks.turned([claim()], 210.0) != {}


def test_a_machine_that_is_gone_is_forgotten() -> None:
    looks = seen(("off", 100.0))
    looks.look({}, {}, 150.0)
    looks.look({SERVER: "off"}, {SERVER: EPOCH}, 200.0)
    assert looks.turned([claim()], 200.0) == {}
