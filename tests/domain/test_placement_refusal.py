"""What a refused caller reads: every host is counted once, and the smaller server that is offered really fits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from infra.domain.host_table import HostView
from infra.domain.models import Resources
from infra.domain.placement import FILTERS, Ranking, rank
from infra.domain.placement_refusal import REASONS, explain_refusal, outside_group, smallest_change
from tests.domain.hosts_of import GB, NOW, ask, host, ranking


def message(refused: Ranking) -> str:
    assert not len(refused)
    return explain_refusal(refused, "fsn1")[0]


def test_the_smallest_change_is_named() -> None:
    """As in the issue: no host has 64 GB free; 48 GB fits on 3."""
    hosts = [host(id, memory_mib=64 * GB, used_memory_mib=16 * GB) for id in (1, 2, 3)]

    assert message(ranking([*hosts, host(4, state="cordoned")], ask(memory=64))) == (
        "no host can take 2 cores, 64 GB memory and 50 GB disk now: of 4 hosts 3 lack memory, 1 is not accepting;"
        " 48 GB memory fits on 3"
    )


def test_what_a_program_reads() -> None:
    _, details = explain_refusal(ranking([host(1, used_cores=15), host(2, used_cores=16)]), "fsn1")

    assert details == {
        "location": "fsn1",
        "requested": {"cores": 2, "memory_mib": 8 * GB, "disk_gib": 50},
        "hosts": 2,
        "dropped": {"cores": 2},
        "fits": {"cores": 1, "memory_mib": 8 * GB, "disk_gib": 50, "hosts": 1},
    }


def test_more_than_one_change_where_one_is_not_enough() -> None:
    told = message(ranking([host(used_cores=15, used_disk_gib=460)]))

    assert told.endswith("of 1 host 1 lacks cores; 1 core and 40 GB disk fits on 1")


def test_the_host_that_is_left_out_for_other_reasons_is_no_offer() -> None:
    told = message(ranking([host(1, state="draining"), host(2, reported=NOW - 91), host(3, used_cores=16)]))

    assert told == (
        "no host can take 2 cores, 8 GB memory and 50 GB disk now: of 3 hosts 1 is not accepting, 1 is not reporting,"
        " 1 lacks cores"
    )


def test_memory_that_is_not_really_free_is_no_offer_either() -> None:
    told = message(ranking([host(free_memory_mib=3 * GB + 100)]))

    assert told.endswith("of 1 host 1 has too little memory really free; 3 GB memory fits on 1")


def test_outside_its_group_it_fits() -> None:
    refused = ranking([host(1), host(2)], ask(group=((1, 1), (2, 1))))

    assert outside_group(refused) == 2
    assert message(refused).endswith("2 hold servers of the placement group; outside its placement group it fits on 2")


def test_a_location_without_hosts() -> None:
    assert message(ranking([])).endswith(": location fsn1 has no hosts")


def test_every_filter_has_a_name_for_the_user() -> None:
    assert list(REASONS) == list(FILTERS)


FULLNESS = st.tuples(st.integers(0, 16), st.integers(0, 64 * GB), st.integers(0, 500), st.integers(-1, 64 * GB))


def full(id: int, fullness: tuple[int, int, int, int]) -> HostView:
    cores, memory, disk, free = fullness
    return host(id, used_cores=cores, used_memory_mib=memory, used_disk_gib=disk, free_memory_mib=free)


@given(st.lists(FULLNESS, max_size=6), st.integers(1, 20), st.integers(1, 80), st.integers(1, 600))
def test_what_is_offered_fits_and_nothing_is_asked_up(
    fullnesses: list[tuple[int, int, int, int]], cores: int, memory: int, disk: int
) -> None:
    refused = ranking([full(id, one) for id, one in enumerate(fullnesses, 1)], ask(cores, memory, disk))
    assume(not len(refused))

    smaller = smallest_change(refused)

    assume(smaller is not None)
    assert smaller is not None
    assert smaller.resources != refused.ask.resources
    assert smaller.hosts == len(rank(refused.hosts, replace(refused.ask, resources=smaller.resources))) >= 1
    want = refused.ask.resources
    assert smaller.resources == Resources(
        min(want.cores, smaller.resources.cores),
        min(want.memory_mib, smaller.resources.memory_mib),
        min(want.disk_gib, smaller.resources.disk_gib),
    )
