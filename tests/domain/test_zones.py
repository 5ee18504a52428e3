"""Zones: names that can be served, and serials that only rise."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.zones import (
    LARGEST_SERIAL,
    domain_of,
    first_soa,
    missing_name_servers,
    names_above,
    names_below,
    next_serial,
    serial_of,
    with_serial,
    zone_name_problem,
)

TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("example.com", True),
        ("a.b.example.com", True),
        ("xn--mnchen-3ya.de", True),
        ("2.0.192.in-addr.arpa", True),
        ("com", False),
        ("Example.com", False),
        ("example.com.", False),
        ("münchen.de", False),
        ("a..com", False),
        ("-a.com", False),
        ("a_b.com", False),
        ("192.0.2.1", False),  # nor can a name ever be taken for an id
        ("", False),
        (".".join(["a" * 60] * 5), False),
    ],
)
def test_a_zones_name_is_a_domain_in_lower_case(name: str, fine: bool) -> None:
    assert (zone_name_problem(name) is None) == fine


NAMES = st.lists(st.sampled_from(["a", "a-b", "b", "ab", "com"]), min_size=2, max_size=5).map(".".join)


@given(NAMES, NAMES)
def test_a_name_lies_below_those_that_it_ends_with(name: str, other: str) -> None:
    lies_below = other.endswith(f".{name}")
    first, beyond = names_below(name)

    assert (name in names_above(other)) == lies_below
    assert (first <= other[::-1] < beyond) == lies_below
    assert not lies_below or domain_of(name) == domain_of(other)


@given(st.integers(0, LARGEST_SERIAL - 1), st.dates(date(2020, 1, 1), date(2199, 12, 31)))
def test_a_serial_rises(present: int, today: date) -> None:
    assert present < next_serial(present, today) <= LARGEST_SERIAL


def test_a_serial_is_the_day_and_a_count() -> None:
    serials = [0]
    for _ in range(101):
        serials.append(next_serial(serials[-1], TODAY))

    assert serials[1:3] == [2026112900, 2026112901]
    assert serials[101] == 2026113000  # more than a hundred changes: the next day's
    assert next_serial(serials[101], TODAY + timedelta(days=1)) == 2026113001
    assert next_serial(serials[101], TODAY + timedelta(days=2)) == 2026120100


def test_the_largest_serial_is_followed_by_a_later_one() -> None:
    following = next_serial(LARGEST_SERIAL, TODAY)

    assert 0 < (following - LARGEST_SERIAL) % 2**32 < 2**31  # RFC 1982


def test_a_new_soa_names_the_first_server_and_holds_any_serial() -> None:
    soa = first_soa(["ns1.example.net.", "ns2.example.net."], 7)

    assert soa == "ns1.example.net. hostmaster.example.net. 7 86400 10800 3600000 3600"
    assert serial_of(with_serial(soa, 2026112900)) == 2026112900
    assert with_serial(with_serial(soa, 9), 7) == soa


def test_name_servers_that_are_left_out_are_named() -> None:
    assert missing_name_servers(["NS1.a.", "ns2.a."], ["ns1.a.", "other."]) == ["ns2.a."]
