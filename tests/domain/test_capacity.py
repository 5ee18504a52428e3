"""Capacity: what is counted as free can be ordered, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.domain.capacity import Plan, Room, rooms
from infra.domain.host_table import HostTable, HostView
from infra.domain.models import Resources
from infra.domain.placement import Ask, rank
from tests.domain.hosts_of import GB, NOW, host

SMALL, LARGE = Plan("small", "x86", Resources(1, 4 * GB, 40)), Plan("large", "x86", Resources(8, 32 * GB, 200))
ARM = Plan("arm", "arm", Resources(1, GB, 10))


def of(*hosts: HostView) -> list[Room]:
    return rooms(HostTable.of(hosts), NOW, [SMALL, LARGE, ARM])


def test_by_location_zone_and_rack() -> None:
    told = of(host(1), host(2, rack="r2"), host(3, availability_zone="b", rack="r1", architecture="arm"))

    assert [(room.zone, room.rack, room.hosts) for room in told] == [
        (None, None, 3),
        ("a", None, 2),
        ("a", "r1", 1),
        ("a", "r2", 1),
        ("b", None, 1),
        ("b", "r1", 1),
    ]
    assert told[1].free == Resources(32, 128 * GB, 1000)
    assert told[1].fits == {"small": 24, "large": 4, "arm": 0}  # 500 GB disk: 12 small, 2 large
    assert (told[1].biggest, told[4].biggest) == ("large", "arm")


def test_hosts_that_take_no_servers_have_nothing_free() -> None:
    (told, *_) = of(host(1, state="draining"), host(2, reported=NOW - 91))

    assert (told.hosts, told.open, told.free, told.biggest) == (2, 0, Resources(0, 0, 0), None)


def test_what_is_not_really_free_is_not_counted() -> None:
    (told, *_) = of(host(1, free_memory_mib=5 * GB))

    assert (told.fits["small"], told.free.memory_mib) == (1, 5 * GB)


def test_a_host_that_shrank_takes_nothing_from_the_others() -> None:
    (told, *_) = of(host(1, used_cores=20), host(2))

    assert told.free.cores == 16


def test_a_location_without_hosts() -> None:
    (told,) = of()

    assert (told.hosts, told.fits) == (0, {"small": 0, "large": 0, "arm": 0})


@given(st.lists(st.tuples(st.integers(0, 16), st.integers(0, 64), st.integers(0, 500)), min_size=1, max_size=4))
def test_as_many_as_are_counted_can_be_placed_one_after_the_other(used: list[tuple[int, int, int]]) -> None:
    hosts = HostTable.of(
        host(id, used_cores=cores, used_memory_mib=memory * GB, used_disk_gib=disk)
        for id, (cores, memory, disk) in enumerate(used, 1)
    )
    counted = rooms(hosts, NOW, [LARGE])[0].fits["large"]

    placed = 0
    while best := next(iter(rank(hosts, Ask("x86", LARGE.resources, NOW))), None):
        view, placed = hosts.at(int(hosts.rows([best])[0])), placed + 1
        taken = {
            "used_cores": view.used_cores + 8,
            "used_memory_mib": view.used_memory_mib + 32 * GB,
            "used_disk_gib": view.used_disk_gib + 200,
        }
        hosts = hosts.with_hosts([host(best, **taken)])

    assert placed == counted
