"""How far an import is, and how large it may be."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from infra.domain.imports import GIB, PHASES, Phase, in_gib, largest_upload, percent

sizes = st.integers(0, 2**50)


@given(st.sampled_from(get_args(Phase)), sizes, sizes, st.none() | sizes)
def test_progress_goes_forward_and_stays_in_its_phase(phase: Phase, one: int, other: int, total: int | None) -> None:
    less, more = sorted((one, other))
    begin, end = PHASES[phase]

    assert begin <= percent(phase, less, total) <= percent(phase, more, total) <= end


def test_phases_follow_each_other_and_leave_the_last_percent_to_the_end() -> None:
    ends = list(PHASES.values())
    assert [begin for begin, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert ends[-1][1] == 99


@given(st.integers(1, 2**45))
def test_whole_gibibytes_hold_it_and_no_fewer_would(size: int) -> None:
    assert (in_gib(size) - 1) * GIB < size <= in_gib(size) * GIB


@given(st.integers(1, 10_000))
def test_a_file_may_be_a_little_larger_than_its_disk(disk_gib: int) -> None:
    assert disk_gib * GIB < largest_upload(disk_gib) < (disk_gib + 1) * GIB * 1.02
