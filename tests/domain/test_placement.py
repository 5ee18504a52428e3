"""Placement: what must hold for any hosts, beside a slow reference that judges one host at a time."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from operator import mul
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.domain.host_table import UNKNOWN, HostTable, HostView
from infra.domain.models import Resources
from infra.domain.placement import EXPLAINED, FILTERS, STALE_S, TERMS, WEIGHTS, Ask, Weights, rank
from tests.domain.placement_by_hand import reasons_against, terms_by_hand
from tests.domain.placement_cases import ASK, HOST, NOW, asks, hosts, judge, order, regions, roomy, terms


@settings(max_examples=200)
@given(regions(hosts | roomy), asks)
def test_all_at_once_is_what_one_at_a_time_by_hand_gives(region: list[HostView], ask: Ask) -> None:
    ranking = judge(region, ask)
    for row, host in enumerate(ranking.hosts):
        assert ranking.terms[:, row].tolist() == pytest.approx(terms_by_hand(host, region, ask))
    against = [reasons_against(host, ask) for host in ranking.hosts]
    assert ranking.passed.all(axis=0).tolist() == [not reasons for reasons in against]
    assert ranking.dropped == {name: sum(reasons[:1] == [name] for reasons in against) for name in FILTERS}


# Who is chosen


@given(regions(hosts | roomy), asks)
def test_whoever_fits_is_ranked_and_nobody_else(region: list[HostView], ask: Ask) -> None:
    """So an order is placed whenever it can be, and never on a host that it would overfill."""
    ranked = order(region, ask)
    assert set(ranked) == {host.id for host in region if not reasons_against(host, ask)}
    for host in (host for host in region if host.id in ranked):
        assert host.used_cores + ask.resources.cores <= host.cores
        assert host.used_memory_mib + ask.resources.memory_mib <= host.memory_mib
        assert host.used_disk_gib + ask.resources.disk_gib <= host.disk_gib


@given(regions(hosts | roomy), asks)
def test_every_host_is_ranked_or_counted_once(region: list[HostView], ask: Ask) -> None:
    ranking = judge(region, ask)
    assert len(list(ranking)) == len(ranking) == len(region) - sum(ranking.dropped.values())


@given(regions(hosts | roomy), asks)
def test_the_best_score_comes_first_and_ties_go_to_the_lowest_id(region: list[HostView], ask: Ask) -> None:
    ranking = judge(region, ask)
    scores = dict(zip(ranking.hosts.ids.tolist(), ranking.scores.tolist(), strict=True))
    assert list(ranking) == sorted(ranking, key=lambda id: (-scores[id], id))


@given(roomy, st.lists(st.integers(1, 1 << 40), min_size=2, max_size=9, unique=True))
def test_hosts_that_are_alike_are_taken_by_their_ids(host: HostView, ids: list[int]) -> None:
    assert order([replace(host, id=id) for id in ids]) == sorted(ids)


@given(regions(roomy, min_size=2), hosts | roomy, asks)
def test_another_host_never_reorders_two_others(region: list[HostView], another: HostView, ask: Ask) -> None:
    """It comes empty of the project's servers; else it would tell something new about those that are there."""
    ask = replace(
        ask,
        architecture="x86",
        excluded=(),
        neighbours=tuple((id, count) for id, count in ask.neighbours if id != another.id),
        group=None if ask.group is None else tuple((id, count) for id, count in ask.group if id != another.id),
    )
    before = order([host for host in region if host.id != another.id], ask)
    after = order([*(host for host in region if host.id != another.id), another], ask)
    assert [id for id in after if id != another.id] == before


@given(regions(hosts | roomy), st.randoms(), asks)
def test_the_order_of_the_input_makes_no_difference(region: list[HostView], random: Any, ask: Ask) -> None:
    shuffled = list(region)
    random.shuffle(shuffled)
    one, other = judge(region, ask), judge(shuffled, ask)
    assert list(one) == list(other)
    assert json.dumps(one.as_json()) == json.dumps(other.as_json())


# What the terms mean


@given(regions(hosts | roomy), asks)
def test_terms_are_shares_and_a_score_is_their_weighted_sum(region: list[HostView], ask: Ask) -> None:
    ranking = judge(region, ask)
    assert ranking.terms.shape == (len(TERMS), len(region))
    assert np.all((ranking.terms >= 0) & (ranking.terms <= 1))
    weights = [getattr(WEIGHTS, name) for name in TERMS]
    assert ranking.scores.tolist() == pytest.approx([sum(map(mul, weights, told)) for told in ranking.terms.T.tolist()])


def test_the_weights_share_one() -> None:
    assert sum(getattr(WEIGHTS, name) for name in TERMS) == pytest.approx(1)


@given(roomy, st.sampled_from(["cores", "memory_mib", "disk_gib"]), st.integers(1, 10_000))
def test_more_room_never_lowers_the_headroom(host: HostView, kind: str, more: int) -> None:
    before = judge([host]).terms[0, 0]
    less_promised: dict[str, Any] = {f"used_{kind}": max(0, getattr(host, f"used_{kind}") - more)}
    larger: dict[str, Any] = {kind: getattr(host, kind) + more}
    for roomier in (less_promised, larger):
        assert judge([replace(host, **roomier)]).terms[0, 0] >= before


@given(hosts, asks, st.sampled_from(["memory_mib", "disk_gib"]), st.integers(1, 10_000))
def test_more_that_is_really_free_never_lowers_the_headroom(host: HostView, ask: Ask, kind: str, more: int) -> None:
    free = getattr(host, f"free_{kind}")
    freer: dict[str, Any] = {f"free_{kind}": max(free, 0) + more}
    if free != UNKNOWN:
        assert judge([replace(host, **freer)], ask).terms[0, 0] >= judge([host], ask).terms[0, 0]


def test_a_host_that_is_just_filled_has_no_headroom() -> None:
    assert terms(replace(HOST, used_cores=60))["headroom"] == 0
    assert order([replace(HOST, used_cores=60, used_memory_mib=57_344, used_disk_gib=960)]) == [1]


def test_what_is_really_free_counts_when_it_is_less_than_what_is_promised() -> None:
    """Others than servers use memory and disk as well; a host that says nothing of it is taken at its promises."""
    empty = terms(HOST)["headroom"]
    mean_free = 1 - (4 / 64 + 1 / 8 + 0.04) / 3
    assert empty == pytest.approx(7 / 8 * mean_free, abs=1e-6)
    assert terms(replace(HOST, free_memory_mib=16_384))["headroom"] == pytest.approx(1 / 8 * mean_free, abs=1e-6)
    assert terms(replace(HOST, free_disk_gib=50))["headroom"] == pytest.approx(0.01 * mean_free, abs=1e-6)
    assert terms(replace(HOST, free_memory_mib=65_536, free_disk_gib=1_000))["headroom"] == empty


@pytest.mark.parametrize("kind", ["memory_mib", "disk_gib"])
def test_a_host_is_asked_that_has_just_enough_really_free(kind: str) -> None:
    wanted = getattr(ASK.resources, kind)
    free: list[dict[str, Any]] = [{f"free_{kind}": amount} for amount in (UNKNOWN, 0, wanted - 1, wanted)]
    assert [len(judge([replace(HOST, **change)])) for change in free] == [1, 0, 0, 1]


@pytest.mark.parametrize(("age", "calm"), [(-5, 0.75), (0, 0.75), (45, 0.75), (67.5, 0.375), (90, 0)])
def test_an_old_report_is_trusted_less(age: float, calm: float) -> None:
    host = replace(HOST, io_wait=0.25, net_saturation=0.1, cpu_busy=0.2, reported=NOW - age)
    assert terms(host)["calm"] == calm


@given(regions(hosts | roomy, min_size=1), asks)
def test_a_stale_host_is_never_chosen(region: list[HostView], ask: Ask) -> None:
    for host in region:
        assert host.id not in order(region, ask) or NOW - host.reported <= STALE_S


def test_a_report_is_stale_at_the_first_moment_after_its_time() -> None:
    ages = (STALE_S, math.nextafter(STALE_S, math.inf), NOW)
    told = [replace(HOST, id=id, reported=0.0) for id in (1, 2, 3)]
    assert [len(judge([host], replace(ASK, now=age))) for host, age in zip(told, ages, strict=True)] == [1, 0, 0]


# Failure domains

ZONES = [
    HostView(1, "accepting", "x86", "a", "r1", "s1", 64, 65_536, 1_000, reported=NOW),
    HostView(2, "accepting", "x86", "a", "r1", "s2", 64, 65_536, 1_000, reported=NOW),
    HostView(3, "accepting", "x86", "a", "r2", "s1", 64, 65_536, 1_000, reported=NOW),
    HostView(4, "accepting", "x86", "b", "r1", "s1", 64, 65_536, 1_000, reported=NOW),
]


def spreads(neighbours: dict[int, int], group: dict[int, int] | None = None) -> list[float]:
    told = None if group is None else tuple(group.items())
    ranking = judge(ZONES, replace(ASK, neighbours=tuple(neighbours.items()), group=told))
    return list(map(float, ranking.terms[2]))


def test_spread_is_what_of_the_project_does_not_fail_with_the_hosts_zone_rack_and_switch() -> None:
    """Rack r1 and switch s1 of zone a are not those of zone b, which happen to have the same names."""
    assert spreads({}) == [1, 1, 1, 1]
    assert spreads({1: 1}) == pytest.approx([0, 1 / 3, 1 / 3, 1])
    assert spreads({1: 2, 4: 1}) == pytest.approx([1 / 3, 5 / 9, 5 / 9, 2 / 3])
    assert spreads({1: 1, 2: 1}) == pytest.approx([1 / 6, 1 / 6, 1 / 2, 1])


def test_spread_counts_the_placement_groups_servers_in_the_rack() -> None:
    assert spreads({}, group={}) == [1, 1, 1, 1]
    assert spreads({}, group={1: 1}) == pytest.approx([3 / 4, 3 / 4, 1, 1])
    assert spreads({1: 1}, group={1: 1}) == pytest.approx([0, 1 / 4, 1 / 2, 1])


def test_neighbours_that_are_not_in_the_table_are_nobodys() -> None:
    assert spreads({9: 5}) == [1, 1, 1, 1]
    assert spreads({9: 5, 1: 1}) == spreads({1: 1})


def test_siblings_go_to_other_zones_then_to_other_racks() -> None:
    assert order(ZONES, replace(ASK, neighbours=((1, 1),))) == [4, 2, 3, 1]
    assert order(ZONES[:3], replace(ASK, neighbours=((1, 1), (2, 1)))) == [3, 1, 2]


# Filters, and what is told


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("state", replace(HOST, state="cordoned")),
        ("state", replace(HOST, state="draining")),
        ("report", replace(HOST, reported=0.0)),
        ("report", replace(HOST, reported=NOW - 90.1)),
        ("architecture", replace(HOST, architecture="arm")),
        ("excluded", replace(HOST, id=7)),
        ("placement_group", replace(HOST, id=8)),
        ("cores", replace(HOST, used_cores=61)),
        ("cores", replace(HOST, cores=0)),
        ("memory", replace(HOST, used_memory_mib=57_345)),
        ("disk", replace(HOST, used_disk_gib=961)),
        ("free_memory", replace(HOST, free_memory_mib=8_191)),
        ("free_disk", replace(HOST, free_disk_gib=39)),
    ],
)
def test_each_filter_counts_what_it_drops(name: str, host: HostView) -> None:
    ranking = judge([host], replace(ASK, excluded=(7,), group=((8, 1),)))
    assert list(ranking) == []
    assert ranking.dropped == {filter: int(filter == name) for filter in FILTERS}


def test_the_first_of_several_reasons_is_counted() -> None:
    worst = HostView(7, "draining", "arm", "a", "r1", "s1", 1, 1, 1, free_memory_mib=0, free_disk_gib=0)
    better: list[dict[str, Any]] = [
        {},
        {"state": "accepting"},
        {"reported": NOW},
        {"architecture": "x86"},
        {"id": 8},
        {"id": 9},
        {"cores": 64},
        {"memory_mib": 65_536},
        {"disk_gib": 1_000},
        {"free_memory_mib": UNKNOWN},
    ]
    ask, host = replace(ASK, excluded=(7,), group=((8, 1),)), worst
    for mended, name in zip(better, FILTERS, strict=True):
        host = replace(host, **mended)
        assert [first for first, count in judge([host], ask).dropped.items() if count] == [name]


def test_an_empty_table_has_no_host_to_rank() -> None:
    for ask in (ASK, replace(ASK, neighbours=((1, 1),), group=((2, 1),), excluded=(3,))):
        ranking = judge([], ask)
        assert list(ranking) == []
        assert ranking.dropped == dict.fromkeys(FILTERS, 0)
        assert ranking.as_json()["best"] == []


@given(asks)
def test_a_host_without_capacity_is_full(ask: Ask) -> None:
    told = terms(replace(HOST, cores=0, memory_mib=0, disk_gib=0), ask)
    assert told["headroom"] == 0
    assert 0 <= told["density"] <= 1


def test_the_stored_decision_shows_the_best_hosts() -> None:
    ranking = judge([replace(HOST, id=id, used_cores=4 * id) for id in range(1, 9)])
    told = json.loads(json.dumps(ranking.as_json()))
    assert [best["host_id"] for best in told["best"]] == list(range(1, EXPLAINED + 1))
    assert told["best"][0]["terms"] == {"headroom": 0.790417, "calm": 1, "spread": 1, "density": 1}
    assert (told["candidates"], told["weights_version"]) == (8, WEIGHTS.version)
    assert list(told["dropped"]) == list(FILTERS)


@settings(max_examples=50)
@given(regions(hosts | roomy), asks)
def test_a_decision_is_recomputed_from_its_input_to_the_same_bytes(region: list[HostView], ask: Ask) -> None:
    first = judge(region, ask)
    table = HostTable.from_json(json.loads(json.dumps(first.hosts.as_json())))
    again = rank(table, replace(ask), Weights(**asdict(WEIGHTS)))
    assert json.dumps(again.as_json()) == json.dumps(first.as_json())
    assert again.scores.tobytes() == first.scores.tobytes()


@pytest.mark.parametrize(
    "other",
    [
        {"architecture": "arm"},
        {"resources": Resources(4, 8_192, 41)},
        {"now": NOW + 1},
        {"density_target": 0.5},
        {"excluded": (2,)},
        {"neighbours": ((1, 1),)},
        {"group": ()},
    ],
)
def test_any_change_of_what_is_asked_changes_the_digest(other: dict[str, Any]) -> None:
    assert judge([HOST], replace(ASK, **other)).digest != judge([HOST]).digest


def test_other_hosts_and_other_weights_change_the_digest() -> None:
    assert judge([replace(HOST, io_wait=0.1)]).digest != judge([HOST]).digest
    assert judge([HOST], weights=replace(WEIGHTS, calm=0.3)).digest != judge([HOST]).digest
