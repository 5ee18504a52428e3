"""The host table: the same value however it came about, and another one for any difference."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.domain.host_table import NUMBERS, UNKNOWN, WHOLE, WORDS, HostTable, HostView, Words

HOST = HostView(1, "accepting", "x86", "a", "r1", "s1", 16, 65_536, 1_000)

shares = st.floats(0, 1)
whole = st.integers(0, 1 << 53)
hosts = st.builds(
    HostView,
    id=st.integers(1, 12),
    state=st.sampled_from(["accepting", "cordoned", "draining", "lost"]),
    architecture=st.sampled_from(["x86", "arm"]),
    availability_zone=st.sampled_from(["", "a", "b", "c"]),
    rack=st.sampled_from(["", "r1", "r2", "r3"]),
    switch=st.sampled_from(["", "s1", "s2"]),
    cores=whole,
    memory_mib=whole,
    disk_gib=whole,
    used_cores=whole,
    used_memory_mib=whole,
    used_disk_gib=whole,
    free_memory_mib=st.just(UNKNOWN) | whole,
    free_disk_gib=st.just(UNKNOWN) | whole,
    cpu_busy=shares,
    io_wait=shares,
    net_saturation=shares,
    reported=st.floats(0, 2e9),
)
regions = st.lists(hosts, max_size=8, unique_by=lambda host: host.id)


def same(one: HostTable, other: HostTable) -> bool:
    return list(one) == list(other) and one.digest() == other.digest()


@settings(max_examples=60)
@given(regions, st.lists(st.lists(hosts, max_size=4), max_size=5))
def test_a_changed_table_is_that_of_the_hosts_as_they_are_now(region: list[HostView], changes: list[Any]) -> None:
    table, now = HostTable.of(region), {host.id: host for host in region}
    for changed in changes:
        table = table.with_hosts(changed)
        now |= {host.id: host for host in changed}
        assert same(table, HostTable.of(now.values()))


@settings(max_examples=60)
@given(regions, st.data())
def test_a_report_or_a_claim_changes_nothing_but_its_host(region: list[HostView], data: st.DataObject) -> None:
    """Only numbers differ, so nothing is built anew; the table before stays what it was."""
    table = HostTable.of(region)
    moved = [replace(host, used_cores=data.draw(whole), io_wait=data.draw(shares)) for host in region[:3]]
    before = list(table)
    changed = table.with_hosts(moved)
    assert same(changed, HostTable.of([*moved, *region[3:]]))
    assert list(table) == before
    if moved:
        assert changed.words is table.words


@settings(max_examples=60)
@given(regions, st.randoms())
def test_the_order_in_which_hosts_came_makes_no_difference(region: list[HostView], random: Any) -> None:
    shuffled = list(region)
    random.shuffle(shuffled)
    assert same(HostTable.of(shuffled), HostTable.of(region))
    assert list(HostTable.of(shuffled)) == sorted(region, key=lambda host: host.id)


@settings(max_examples=60)
@given(regions)
def test_it_comes_back_from_json_as_it_was(region: list[HostView]) -> None:
    table = HostTable.of(region)
    assert same(HostTable.from_json(json.loads(json.dumps(table.as_json()))), table)


@pytest.mark.parametrize("changed", [field.name for field in fields(HostView)])
def test_any_change_of_any_field_changes_the_digest(changed: str) -> None:
    value = getattr(HOST, changed)
    more = value + "x" if changed in WORDS else value + 1 if changed in WHOLE else value + 1e-9
    another = HostView(2, "accepting", "arm", "b", "r2", "s2", 8, 32_768, 500)
    changes: dict[str, Any] = {changed: 3 if changed == "id" else more}
    assert HostTable.of([HOST, another]).digest() != HostTable.of([replace(HOST, **changes), another]).digest()


@pytest.mark.parametrize("name", WORDS)
def test_words_that_change_places_change_the_digest(name: str) -> None:
    """The same words in the same numbers, on other hosts."""
    one: dict[str, Any] = {name: "x"}
    other: dict[str, Any] = {name: "y"}
    there = [replace(HOST, **one), replace(HOST, id=2, **other)]
    back = [replace(HOST, **other), replace(HOST, id=2, **one)]
    assert HostTable.of(there).digest() != HostTable.of(back).digest()


def test_each_field_is_a_word_a_number_or_the_id() -> None:
    assert sorted([*WORDS, *NUMBERS, "id"]) == sorted(field.name for field in fields(HostView))
    assert set(NUMBERS) >= WHOLE - {"id"}


@given(st.lists(st.integers(1, 1 << 40), max_size=8, unique=True), st.lists(st.integers(-5, 1 << 41), max_size=8))
def test_rows_are_where_the_hosts_stand_and_unknown_for_others(ids: list[int], asked: list[int]) -> None:
    table = HostTable.of(replace(HOST, id=id) for id in ids)
    wanted = [*asked, *ids]
    rows = table.rows(wanted).tolist()
    assert rows == [sorted(ids).index(id) if id in ids else UNKNOWN for id in wanted]


def test_a_host_that_is_there_twice_is_refused() -> None:
    twice = [HOST, replace(HOST, id=2), replace(HOST, cores=8)]
    with pytest.raises(ValueError, match="twice"):
        HostTable.of(twice)
    with pytest.raises(ValueError, match="twice"):
        HostTable.from_json(HostTable.of([HOST]).as_json() * 2)


def test_what_is_no_host_is_refused() -> None:
    told = HostTable.of([HOST]).as_json()[0]
    for wrong in ({**told, "colour": "red"}, {name: told[name] for name in told if name != "cores"}):
        with pytest.raises(TypeError):
            HostTable.from_json([wrong])


def test_an_empty_table_is_a_table() -> None:
    empty = HostTable.of([])
    assert len(empty) == 0 == len(list(empty))
    assert same(HostTable.from_json(empty.as_json()), empty)
    assert same(empty.with_hosts([]), empty)
    assert same(empty.with_hosts([HOST]), HostTable.of([HOST]))
    assert empty.rows([1, 2]).tolist() == [UNKNOWN, UNKNOWN]


def test_a_word_that_nobody_has_is_nowhere() -> None:
    words = Words.of(["b", "a", "b"])
    assert words.are("b").tolist() == [True, False, True]
    assert words.are("c").tolist() == [False, False, False]
    assert [words.at(row) for row in range(3)] == ["b", "a", "b"]
