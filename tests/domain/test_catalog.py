"""The plan: what leads from the books to a file, in which order, and everything that keeps it from being made."""

from __future__ import annotations

from typing import Any

import pytest

from infra.domain.catalog import Asked, Books, Known, Unfit, plan
from infra.domain.sizes import GIB, MIB, Size

SMALL = {"cores": 1, "memory": Size(256 * MIB), "disk": Size(2 * GIB), "architecture": "x86"}
BOOKS: Books = {
    ("network_zones", "eu"): Known({}),
    ("locations", "fsn1"): Known({"description": "Falkenstein", "network_zone": "eu"}, 1),
    ("datacenters", "fsn1-dc1"): Known({"description": "DC 1", "location": "fsn1"}, 1),
    ("server_types", "px1"): Known({"description": "small", **SMALL}, 1, used_by=2),
    ("server_types", "px2"): Known({"description": "large", **SMALL}, 2),
    ("images", "tiny (x86)"): Known(
        {"name": "tiny", "architecture": "x86", "description": "tiny"}, 5, once={"digest": "a" * 64}, former_ids=(3,)
    ),
    ("address_pools", "192.0.2.0/24 in fsn1"): Known({"cidr": "192.0.2.0/24", "location": "fsn1"}),
}


def asked(section: str, name: str, /, id: int | None = None, at: int = 0, **fields: Any) -> Asked:
    return Asked(section, name, (section, at), fields, id)


def problems(*entries: Asked) -> list[tuple[str, str]]:
    with pytest.raises(Unfit) as unfit:
        plan(BOOKS, entries)
    return [(".".join(map(str, place)), problem) for place, problem in unfit.value.problems]


def test_what_is_as_the_file_says_is_no_change() -> None:
    found = plan(BOOKS, [asked("server_types", "px1", description="small", cores=1)])

    assert (found.changes, found.alike) == ((), 1)
    assert found.left_alone == (("server_types", "px2"),)


def test_only_fields_that_differ_are_changed() -> None:
    (change,) = plan(BOOKS, [asked("server_types", "px2", description="huge", cores=1)]).changes

    assert (change.id, change.new, change.fields) == (2, False, {"description": "huge"})
    assert [(one.before, one.after) for one in change.differences] == [("large", "huge")]


def test_what_is_referred_to_is_written_first_and_ids_that_are_asked_for_before_those_that_are_counted() -> None:
    found = plan(
        BOOKS,
        [
            asked("isos", "counted"),
            asked("isos", "seven", id=7, at=1),
            asked("locations", "hel1", network_zone="north"),
            asked("network_zones", "north"),
        ],
    )

    assert [change.name for change in found.changes] == ["north", "hel1", "hel1-dc1", "seven", "counted"]


def test_a_new_location_gets_a_datacenter_unless_the_file_names_one() -> None:
    hel1 = asked("locations", "hel1", network_zone="eu")
    own = asked("datacenters", "hel1-dc7", location="hel1")

    assert [change.name for change in plan(BOOKS, [hel1]).changes] == ["hel1", "hel1-dc1"]
    assert [change.name for change in plan(BOOKS, [hel1, own]).changes] == ["hel1", "hel1-dc7"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        asked("server_types", "px9", cores=2),
        asked("locations", "hel1", network_zone="mars"),
        asked("server_types", "px3", at=1, **SMALL, locations={"nowhere": None}),
        asked("default_location", "", default_location="atlantis"),
    )

    assert [problem for _, problem in found] == [
        "there is no network zone 'mars'",
        "there is no location 'nowhere'",
        "there is no location 'atlantis'",
        "there is no server type 'px9' yet: a new one needs memory, disk",
    ]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (asked("server_types", "px3", id=1, **SMALL), "id 1 is that of server type 'px1'"),
        (asked("server_types", "px1", id=9), "server type 'px1' has id 1, and an id cannot change"),
        (asked("images", "other (x86)", id=3), "id 3 is that of image 'tiny (x86)'"),
    ],
)
def test_an_id_is_given_once_and_for_good(entry: Asked, problem: str) -> None:
    assert problems(entry) == [(f"{entry.section}.0.id", problem)]


def test_ids_that_an_entry_has_already_may_be_said() -> None:
    entries = [asked("server_types", "px1", id=1), asked("images", "tiny (x86)", id=3)]  # that of an older build

    assert plan(BOOKS, entries).changes == ()


def test_a_name_or_an_id_is_in_a_file_once() -> None:
    found = problems(
        asked("isos", "a", id=4), asked("isos", "a", at=1), asked("isos", "b", id=4, at=2), asked("isos", "c", at=3)
    )

    assert found == [("isos.1", "ISO 'a' is in the file twice"), ("isos.2.id", "id 4 is in this section twice")]


def test_what_servers_count_on_cannot_change_under_them() -> None:
    (problem,) = problems(asked("server_types", "px1", cores=8))

    assert problem == (
        "server_types.0.cores",
        "cannot change: 2 servers are of this type; make a new type and deprecate this one",
    )
    assert len(plan(BOOKS, [asked("server_types", "px2", cores=8)]).changes) == 1


@pytest.mark.parametrize(
    ("cidr", "overlapping"),
    [("192.0.2.128/25", True), ("192.0.0.0/16", True), ("198.51.100.0/24", False), ("2001:db8::/48", False)],
)
def test_an_address_belongs_to_one_pool(cidr: str, overlapping: bool) -> None:
    pool = asked("address_pools", f"{cidr} in fsn1", cidr=cidr, location="fsn1")

    if overlapping:
        assert problems(pool) == [("address_pools.0", "overlaps address pool 192.0.2.0/24 in fsn1")]
    else:
        assert len(plan(BOOKS, [pool]).changes) == 1


def test_pools_of_one_file_overlap_as_well() -> None:
    pools = [
        asked("address_pools", f"{cidr} in fsn1", at=at, cidr=cidr, location="fsn1")
        for at, cidr in enumerate(("198.51.100.0/24", "198.51.100.0/25"))
    ]

    assert problems(*pools) == [("address_pools.1", "overlaps address pool 198.51.100.0/24 in fsn1")]


def test_an_image_is_made_of_a_built_one_of_its_architecture() -> None:
    ubuntu = asked("images", "ubuntu (x86)", name="ubuntu", architecture="x86", source="tiny")
    arm = asked("images", "ubuntu (arm)", name="ubuntu", architecture="arm", source="tiny")

    assert len(plan(BOOKS, [ubuntu]).changes) == 1
    assert problems(arm) == [("images.0.source", "there is no built image 'tiny' for arm")]
