"""What placement is tried on: a host and an order, and any hosts and orders."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import strategies as st

from infra.domain.host_table import UNKNOWN, HostTable, HostView
from infra.domain.models import Resources
from infra.domain.placement import LATE_S, STALE_S, WEIGHTS, Ask, Ranking, Weights, rank

NOW = 1_000_000.0
HOST = HostView(1, "accepting", "x86", "a", "r1", "s1", 64, 65_536, 1_000, reported=NOW)
ASK = Ask("x86", Resources(4, 8_192, 40), NOW)

loads = st.sampled_from([0.0, 0.25, 1.0]) | st.floats(0, 1)
ages = st.sampled_from([-1.0, 0.0, LATE_S, STALE_S, math.nextafter(STALE_S, 91.0)]) | st.floats(-5, 200)
hosts = st.builds(
    HostView,
    id=st.integers(1, 15),
    state=st.sampled_from(["accepting"] * 4 + ["cordoned", "draining"]),
    architecture=st.sampled_from(["x86"] * 3 + ["arm"]),
    availability_zone=st.sampled_from(["", "a", "b"]),
    rack=st.sampled_from(["", "r1", "r2"]),
    switch=st.sampled_from(["", "s1", "s2"]),
    cores=st.integers(0, 64),
    memory_mib=st.integers(0, 1 << 17),
    disk_gib=st.integers(0, 2_000),
    used_cores=st.integers(0, 70),
    used_memory_mib=st.integers(0, 1 << 17),
    used_disk_gib=st.integers(0, 2_000),
    free_memory_mib=st.just(UNKNOWN) | st.integers(0, 1 << 17),
    free_disk_gib=st.just(UNKNOWN) | st.integers(0, 2_000),
    cpu_busy=loads,
    io_wait=loads,
    net_saturation=loads,
    reported=ages.map(lambda age: NOW - age),
)
roomy = st.builds(
    replace,
    st.just(HOST),
    id=st.integers(1, 15),
    availability_zone=st.sampled_from(["a", "b"]),
    rack=st.sampled_from(["r1", "r2"]),
    switch=st.sampled_from(["s1", "s2"]),
    used_cores=st.integers(0, 60),
    used_memory_mib=st.integers(0, 57_344),
    used_disk_gib=st.integers(0, 960),
    cpu_busy=loads,
    reported=st.floats(NOW - STALE_S, NOW),
)
"""Any of these can take ASK."""
holders = st.dictionaries(st.integers(1, 20), st.integers(1, 9), max_size=6).map(lambda held: tuple(held.items()))
asks = st.builds(
    Ask,
    architecture=st.sampled_from(["x86", "arm"]),
    resources=st.builds(Resources, st.integers(1, 16), st.integers(1, 1 << 15), st.integers(1, 500)),
    now=st.just(NOW),
    density_target=st.sampled_from([0.75, 1.0]) | st.floats(0.05, 1),
    excluded=st.lists(st.integers(1, 20), max_size=3).map(tuple),
    neighbours=holders,
    group=st.none() | holders,
)


def regions(of: st.SearchStrategy[HostView], min_size: int = 0) -> st.SearchStrategy[list[HostView]]:
    return st.lists(of, min_size=min_size, max_size=12, unique_by=lambda host: host.id)


def judge(region: list[HostView], ask: Ask = ASK, weights: Weights = WEIGHTS) -> Ranking:
    return rank(HostTable.of(region), ask, weights)


def order(region: list[HostView], ask: Ask = ASK) -> list[int]:
    return list(judge(region, ask))


def terms(host: HostView, ask: Ask = ASK) -> dict[str, float]:
    return judge([host], ask).terms_of(0)
