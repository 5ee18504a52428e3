"""A placement explained: every host is there, with all that drops it, in figures that can be checked."""

from __future__ import annotations

import pytest

from infra.domain.host_table import HostView
from infra.domain.models import Resources
from infra.domain.placement import FILTERS, TERMS, WEIGHTS, Ask
from infra.domain.placement_explained import REASONS, Explained, what_if
from tests.domain.hosts_of import GB, NOW, ask, host, ranking

NAMES = {1: "h1", 2: "h2", 3: "h3"}


def explained(hosts: list[HostView], question: Ask | None = None, chosen: int | None = None) -> Explained:
    return Explained(ranking(hosts, question), NAMES, chosen)


def test_a_row_for_every_host_the_best_first_and_then_those_that_do_not_fit() -> None:
    told = explained([host(1, used_cores=8), host(2), host(3, state="lost", used_disk_gib=490)], chosen=1)

    head, best, second, dropped = told.rows(10)
    assert head[2:4] == ("HOST", "SCORE")
    assert best[:3] == ("1", "", "h2")
    assert second[:3] == ("2", ">", "h1")
    assert dropped[0] == "-"
    assert (dropped[2], dropped[-1]) == ("h3", "state, disk")
    assert told.summary() == [
        "asked for: 2 cores, 8 GiB memory, 50 GiB disk, x86",
        "of 3 hosts 2 fit; dropped by state 1",
        "score: " + " + ".join(f"{getattr(WEIGHTS, term):g} {term}" for term in TERMS),
    ]


def test_what_is_left_out_is_counted() -> None:
    told = explained([host(id, state="lost" if id > 4 else "accepting") for id in range(1, 8)])

    assert len(told.rows(2)) == 1 + 2 + 2
    assert told.rest(2) == ["... and 2 that fit and 1 that do not"]
    assert told.rest(7) == []


@pytest.mark.parametrize(
    ("but", "reason"),
    [
        ({"state": "cordoned"}, "state: it is cordoned"),
        ({"reported": NOW - 120}, "report: its last report was 120 s old; after 90 s a host is not asked"),
        ({"reported": 0.0}, "report: it has not reported, or was waited for in vain since"),
        ({"architecture": "arm"}, "architecture: it is arm, the image x86"),
        ({"used_cores": 15}, "cores: 15 of 16 are promised; 2 more do not fit"),
        ({"used_memory_mib": 60 * GB}, "memory: 60 GiB of 64 GiB are promised; 8 GiB more do not fit"),
        ({"used_disk_gib": 480}, "disk: 480 GiB of 500 GiB are promised; 50 GiB more do not fit"),
        ({"free_memory_mib": 2 * GB}, "free_memory: 2 GiB are really free; 8 GiB were asked for"),
        ({"free_disk_gib": 20}, "free_disk: 20 GiB are really free; 50 GiB were asked for"),
    ],
)
def test_why_not_a_host_that_does_not_fit(but: dict[str, object], reason: str) -> None:
    assert explained([host(1, **but)]).why_not(1) == ["h1 does not fit:", f"  {reason}"]


def test_why_not_one_that_failed_before_or_holds_one_of_the_group() -> None:
    told = explained([host(1), host(2)], ask(excluded=(1,), group=((2, 1),)))

    assert told.why_not(1) == ["h1 does not fit:", "  excluded: it failed this order before"]
    assert told.why_not(2) == ["h2 does not fit:", "  placement_group: it holds a server of the placement group"]


def test_why_not_one_that_fits_less_well() -> None:
    told = explained([host(1, cpu_busy=0.9), host(2)], chosen=2)

    first, second, *terms = told.why_not(1)
    assert first == "h1 fits, as number 2 of 2"
    assert second.startswith("h2 was chosen with ")
    assert terms[0].startswith("  calm: 0.100, there 1.000 (")  # what makes the difference comes first
    assert len(terms) == 4


def test_why_not_the_one_that_was_chosen_and_one_that_is_not_there() -> None:
    told = explained([host(1)], chosen=1)

    assert told.why_not(1) == ["h1 was chosen, as number 1 of 1 that fit"]
    assert told.why_not(9) == ["host 9 (gone) was not among the hosts of the location"]


def test_what_if_it_had_been_larger() -> None:
    before = ranking([host(1), host(2, used_memory_mib=40 * GB)])

    after = what_if(before, Resources(2, 32 * GB, 50))

    assert (len(before), list(after)) == (2, [1])


def test_every_filter_has_its_figures() -> None:
    assert list(REASONS) == list(FILTERS)
