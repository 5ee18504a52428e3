"""Names of hosts and places, and overcommit: what may be said, and that everything wrong is told at once."""

from __future__ import annotations

import math

import pytest

from infra.domain.errors import InvalidInput
from infra.domain.topology import Standing, host_name_of, host_name_problem, overcommit_problem, place_problem


@pytest.mark.parametrize("name", ["h2", "fsn1-a.r1_2", "0a", "-", "a" * 63])
def test_a_name(name: str) -> None:
    assert host_name_problem(name) is None
    assert place_problem(name) is None


@pytest.mark.parametrize("name", ["H2", "h 2", "h/2", "hü", "a" * 64, "h\n", "h\0", "²"])
def test_no_name(name: str) -> None:
    assert host_name_problem(name)
    assert place_problem(name)


def test_a_host_has_a_name_that_no_id_looks_like_and_a_place_may_have_none() -> None:
    assert host_name_problem("")
    assert host_name_problem("17")
    assert place_problem("") is None
    assert place_problem("17") is None


@pytest.mark.parametrize(("overcommit", "fits"), [(1, True), (4, True), (2.5, True), (100, True), (0.99, False)])
def test_an_overcommit(overcommit: float, fits: bool) -> None:
    assert (overcommit_problem(overcommit) is None) == fits


@pytest.mark.parametrize("overcommit", [math.inf, math.nan, -math.inf, -4, 0, 101, 1e300])
def test_no_overcommit(overcommit: float) -> None:
    assert overcommit_problem(overcommit)


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(InvalidInput) as told:
        Standing("", "A", "r 1", "s/1", math.nan).check()
    fields = [one["name"] for one in (told.value.details or {})["fields"]]
    assert fields == ["name", "zone", "rack", "switch", "overcommit"]
    Standing().check()
    Standing(rack="").check()


def test_a_machines_name_as_a_hosts() -> None:
    assert host_name_of("Rack7.Example.com") == "rack7.example.com"
    assert host_name_problem(host_name_of("n" * 200)) is None
