"""RRSets: which can stand together, and that records are added, removed and commented by what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.domain.errors import InvalidInput
from infra.domain.refusals import ServiceError
from infra.domain.rrsets import (
    NewRRSet,
    Record,
    RRSetType,
    added,
    apex_problem,
    check_removable,
    commented,
    count_problem,
    name_problem,
    neighbour_problem,
    place_problem,
    removed,
    repeated,
    together_problems,
    with_apex,
)

SERVERS = ["ns1.example.net.", "ns2.example.net."]
values = st.lists(st.text("abcABC", min_size=1, max_size=3), max_size=8, unique_by=str.lower)


def records(of: list[str]) -> tuple[Record, ...]:
    return tuple(Record(one, f"of {one}") for one in of)


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("@", True),
        ("www", True),
        ("a.b-c.d1", True),
        ("_dmarc", True),
        ("_sip._tcp", True),
        ("*", True),
        ("*.dev", True),
        ("xn--4bi", True),
        ("example.com.example", True),
        ("", False),
        ("WWW", False),
        ("www.", False),
        ("a..b", False),
        ("a.*", False),
        ("*a", False),
        ("a/b", False),
        ("a b", False),
        ("@.a", False),
        ("www.example.com", False),
        ("example.com", False),
        ("a" * 64, False),
        (".".join(["a" * 60] * 4), False),  # too long together with the zone
    ],
)
def test_a_name_is_relative_to_its_zone(name: str, fine: bool) -> None:
    assert (name_problem(name, "example.com") is None) == fine


def test_what_stands_alone_stands_alone() -> None:
    assert neighbour_problem("CNAME", ["A"])
    assert neighbour_problem("TXT", ["CNAME"])
    assert neighbour_problem("CNAME", ["CNAME"]) is None
    assert neighbour_problem("A", ["AAAA", "TXT"]) is None
    assert place_problem("@", "CNAME")
    assert place_problem("www", "SOA")
    assert place_problem("@", "SOA") is None


@pytest.mark.parametrize(
    ("type", "count", "fine"),
    [("A", 0, False), ("A", 50, True), ("A", 51, False), ("SOA", 2, False), ("CNAME", 1, True)],
)
def test_an_rrset_has_few_records_and_never_none(type: str, count: int, fine: bool) -> None:
    assert (count_problem(type, count) is None) == fine


@given(values, values)
def test_what_is_added_is_there_and_what_is_removed_is_not(there: list[str], more: list[str]) -> None:
    clash = {one.lower() for one in there} & {one.lower() for one in more}
    if clash:
        with pytest.raises(InvalidInput):
            added(records(there), records(more), str.lower)
        return
    both = added(records(there), records(more), str.lower)

    assert [one.value for one in both] == there + more
    assert removed(both, records([one.upper() for one in more]), str.lower) == records(there)
    if more and not there:
        with pytest.raises(InvalidInput):
            removed((), records(more), str.lower)


@given(values, st.data())
def test_comments_change_and_nothing_else(there: list[str], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(there), unique=True)) if there else []

    after = commented(records(there), [Record(one.upper(), "new") for one in some], str.lower)

    assert [one.value for one in after] == there
    assert {one.value for one in after if one.comment == "new"} == set(some)


def test_a_record_that_is_given_twice_is_named() -> None:
    assert [field for field, _ in repeated(records(["a", "b", "A"]), str.lower)] == ["records.2.value"]


@pytest.mark.parametrize(("name", "type", "fine"), [("@", "SOA", False), ("@", "NS", False), ("sub", "NS", True)])
def test_the_apex_keeps_its_soa_and_ns(name: str, type: str, fine: bool) -> None:
    if fine:
        check_removable(name, type)
    else:
        with pytest.raises(ServiceError):
            check_removable(name, type)


def _rrset(name: str, type: RRSetType, *of: str) -> NewRRSet:
    return NewRRSet(name, type, records(list(of)))


def test_a_new_zone_has_what_every_zone_has() -> None:
    www = _rrset("www", "A", "192.0.2.1")
    own = _rrset("@", "NS", *SERVERS, "ns3.example.net.")

    assert [one.key for one in with_apex([www], SERVERS)] == [("@", "SOA"), ("@", "NS"), ("www", "A")]
    assert [len(one.records) for one in with_apex([own], SERVERS)] == [1, 3]
    assert apex_problem(with_apex([www], SERVERS), SERVERS, str.lower) is None
    assert apex_problem([own], SERVERS, str.lower)  # no SOA
    assert apex_problem(with_apex([_rrset("@", "NS", SERVERS[0])], SERVERS), SERVERS, str.lower)


def test_rrsets_that_cannot_stand_together_are_named() -> None:
    rrsets = [_rrset("a", "A", "x"), _rrset("a", "CNAME", "x"), _rrset("b", "A", "x"), _rrset("b", "A", "y")]

    assert [field for field, _ in together_problems(rrsets)] == ["rrsets.1.type", "rrsets.3"]
