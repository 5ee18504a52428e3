"""Placement's weights: what they make of the terms, which are told beside the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.domain.host_table import HostView
from infra.domain.models import Resources
from infra.domain.placement import Ask
from tests.domain.placement_cases import ASK, HOST, NOW, judge, order, roomy

SMALL = replace(ASK, resources=Resources(1, 1_024, 10))


def used(share: float, **changes: Any) -> HostView:
    """HOST, with about that share promised of all it has."""
    cores, memory_mib, disk_gib = round(64 * share), round(65_536 * share), round(1_000 * share)
    return replace(HOST, used_cores=cores, used_memory_mib=memory_mib, used_disk_gib=disk_gib, **changes)


@given(roomy, roomy, st.floats(0.3, 1))
def test_a_host_at_or_under_its_target_comes_before_any_above_it(one: HostView, other: HostView, target: float) -> None:
    """However the three are used, on hosts that are alike in all else."""
    one, other = replace(one, id=1, cpu_busy=0.0, reported=NOW), replace(other, id=2, cpu_busy=0.0, reported=NOW)
    under = [most_used(host) <= target for host in (one, other)]
    first = order([one, other], replace(ASK, density_target=target))[0]
    assert under[first - 1] or not any(under)


@given(roomy, roomy)
def test_at_the_usual_target_that_holds_wherever_the_project_stands(under: HostView, above: HostView) -> None:
    under = replace(under, id=1, used_cores=min(under.used_cores, 40), used_memory_mib=0, used_disk_gib=0)
    above = replace(above, id=2, availability_zone="c", used_memory_mib=max(above.used_memory_mib, 50_000))
    calm = [replace(host, cpu_busy=0.0, reported=NOW) for host in (under, above)]
    assert order(calm, replace(ASK, neighbours=((1, 3),))) == [1, 2]


def most_used(host: HostView) -> float:
    shares = (host.used_cores / host.cores, host.used_memory_mib / host.memory_mib, host.used_disk_gib / host.disk_gib)
    return max(shares)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_emptier_comes_first_under_the_target_and_the_fuller_above_it(one: int, other: int) -> None:
    """In 64ths of a host; 48 are the target."""
    ranked = order([used(one / 64, id=1), used(other / 64, id=2)], SMALL)
    wanted = sorted([(one > 48, -one if one > 48 else one, 1), (other > 48, -other if other > 48 else other, 2)])
    assert ranked == [id for *_, id in wanted]


@given(st.floats(0, 0.7), st.floats(0, 0.25))
def test_a_busy_host_loses_to_calm_ones_that_are_a_quarter_fuller(share: float, more: float) -> None:
    """On either side of the target and across it; it comes back as soon as it is calm and emptier."""
    busy, fuller = used(share, io_wait=1.0), used(min(share + more, 0.95), id=2)
    assert order([busy, fuller], SMALL) == [2, 1]
    assert order([replace(busy, io_wait=0.0), used(share + 0.04, id=2)], replace(SMALL, density_target=1)) == [1, 2]


def filled(region: list[HostView], ask: Ask, servers: int) -> list[HostView]:
    """After so many servers, one after the other."""
    by_id = {host.id: host for host in region}
    for _ in range(servers):
        host = by_id[order(list(by_id.values()), ask)[0]]
        by_id[host.id] = replace(
            host,
            used_cores=host.used_cores + ask.resources.cores,
            used_memory_mib=host.used_memory_mib + ask.resources.memory_mib,
            used_disk_gib=host.used_disk_gib + ask.resources.disk_gib,
        )
    return list(by_id.values())


def test_a_region_fills_evenly_up_to_its_target_before_a_host_passes_it() -> None:
    region = [replace(HOST, id=id, rack=f"r{id}") for id in range(1, 6)]
    ask = replace(ASK, resources=Resources(4, 4_096, 60))
    for servers in range(1, 61):
        region = filled(region, ask, 1)
        counts = [host.used_cores // 4 for host in region]
        assert sum(counts) == servers
        assert max(counts) - min(counts) <= 1
    assert {most_used(host) for host in region} == {0.75}


def test_beyond_the_target_hosts_fill_up_one_by_one_so_that_big_servers_still_fit() -> None:
    ask = replace(ASK, resources=Resources(4, 4_096, 60))
    region = filled([replace(HOST, id=id) for id in range(1, 6)], ask, 13 * 5 + 5)
    assert sorted(host.used_cores for host in region) == [52, 52, 52, 60, 64]
    big = replace(ASK, resources=Resources(12, 12_288, 180))
    assert len(judge(region, big)) == 3
