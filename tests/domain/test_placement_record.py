"""A placement as a file: decided again it is the same to the byte, and what is no such file is told what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.domain.placement import WEIGHTS
from infra.domain.placement_record import Unreadable, read, recompute, write
from tests.domain.hosts_of import NOW, ask, host, ranking

WRITTEN = write(
    ranking(
        [host(3, io_wait=0.1 + 0.2), host(1, reported=NOW - 50.123456789), host(2, state="lost", free_disk_gib=7)],
        ask(excluded=(9,), neighbours=((1, 2), (4, 1)), group=((4, 1),)),
    )
)


def test_decided_again_it_is_the_same_to_the_byte() -> None:
    assert recompute(WRITTEN) == WRITTEN


def test_a_server_in_no_group_is_not_one_in_an_empty_group() -> None:
    alone, first = write(ranking([host()], ask(group=None))), write(ranking([host()], ask(group=())))

    assert recompute(alone) == alone
    assert recompute(first) == first
    assert alone != first


def test_a_decision_that_somebody_changed_is_decided_as_it_was() -> None:
    forged = WRITTEN.replace('"candidates": 2', '"candidates": 3')

    assert forged != WRITTEN
    assert recompute(forged) == WRITTEN


def test_an_input_that_somebody_changed_is_another_placement() -> None:
    other = WRITTEN.replace('"used_cores": 0', '"used_cores": 1', 1)

    assert read(other).digest != read(WRITTEN).digest


def test_hosts_are_a_line_each() -> None:
    assert sum(line.startswith('  {"id": ') for line in WRITTEN.splitlines()) == 3


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda told: told.pop(name)


def host_with(**but: Any) -> Callable[[dict[str, Any]], None]:
    return lambda told: told["hosts"][0].update(but)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (without("kind"), "it is no placement"),
        (without("hosts"), "'hosts' is missing"),
        (without("ask"), "'ask' is missing"),
        (lambda told: told["ask"].pop("now"), "cannot be decided on"),
        (lambda told: told["ask"].update(now="soon"), "cannot be decided on"),
        (lambda told: told["ask"].update(resources={"cores": "many", "memory_mib": 1, "disk_gib": 1}), "decided on"),
        (lambda told: told["weights"].update(version="7"), f"weights '7'; this is version '{WEIGHTS.version}'"),
        (lambda told: told["weights"].update(calm=0.9), "it was decided by weights"),
        (lambda told: told["hosts"].append(dict(told["hosts"][0])), "a host is there twice"),
        (lambda told: told.update(hosts=[7]), "cannot be decided on"),
        (lambda told: told["hosts"][0].update(rack="\ud800"), "halves of surrogate pairs"),
        (lambda told: told["ask"].update(architecture="\ud800"), "halves of surrogate pairs"),
        (host_with(cores="8"), "cores of a host is '8'"),
        (host_with(cores=True), "cores of a host is True"),
        (host_with(io_wait=float("nan")), "io_wait of a host is nan"),
        (host_with(memory_mib=10**400), "cannot be decided on"),
        (host_with(colour="red"), "colour"),
    ],
)
def test_what_is_wrong_is_named(spoil: Callable[[dict[str, Any]], None], complaint: str) -> None:
    told = json.loads(WRITTEN)
    spoil(told)

    with pytest.raises(Unreadable, match=complaint):
        recompute(json.dumps(told))


@pytest.mark.parametrize("text", ["", "[]", "{", '"puchify placement"', "null", "[" * 200_000])
def test_what_is_no_placement_at_all(text: str) -> None:
    with pytest.raises(Unreadable):
        recompute(text)
