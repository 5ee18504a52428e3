"""Lists, whatever they are of: pages, sorting and selectors go by the same rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.api.refusals import fields_of
from tests.fix_api import Api

GROUPS = 53
SORTABLE = {
    "locations": ("id", "name"),
    "datacenters": ("id", "name"),
    "server_types": ("id", "name"),
    "load_balancer_types": ("id", "name"),
    "isos": ("id", "name"),
    "ssh_keys": ("id", "name"),
    "images": ("id", "name", "created"),
    "placement_groups": ("id", "name", "created"),
    "certificates": ("id", "name", "created"),
    "networks": ("id", "name", "created"),
    "primary_ips": ("id", "created"),
    "servers": ("id", "name", "created"),
}


@pytest_asyncio.fixture(scope="module")
async def many(module_api: Api) -> AsyncIterator[Api]:
    """More placement groups than a page holds, which are cheap."""
    for number in range(GROUPS):
        labels = {"n": str(number), "parity": "odd" if number % 2 else "even"}
        body = {"name": f"g{number:02}", "type": "spread", "labels": labels}
        assert (await module_api.http.post("/placement_groups", json=body)).status_code == 201
    yield module_api


def names(told: dict[str, Any]) -> list[str]:
    return [one["name"] for one in told["placement_groups"]]


@pytest.mark.parametrize(
    ("query", "size", "expected"),
    [
        ({}, 25, (1, 25, None, 2, 3)),
        ({"page": 2}, 25, (2, 25, 1, 3, 3)),
        ({"page": 3}, 3, (3, 25, 2, None, 3)),
        ({"page": 4}, 0, (4, 25, 3, None, 3)),
        ({"per_page": 1, "page": 53}, 1, (53, 1, 52, None, 53)),
        ({"per_page": 50}, 50, (1, 50, None, 2, 2)),
        ({"per_page": 1000}, 50, (1, 50, None, 2, 2)),
        ({"page": 10**9}, 0, (10**9, 25, 10**9 - 1, None, 3)),
    ],
)
async def test_a_page_says_where_it_stands(
    many: Api, query: dict[str, Any], size: int, expected: tuple[int | None, ...]
) -> None:
    told = await many.listed("/placement_groups", **query)
    keys = ("page", "per_page", "previous_page", "next_page", "last_page")

    assert len(names(told)) == size
    assert told["meta"] == {"pagination": {**dict(zip(keys, expected, strict=True)), "total_entries": GROUPS}}


async def test_hcloud_reads_every_page_once(many: Api) -> None:
    found = await asyncio.to_thread(many.hcloud.placement_groups.get_all, sort=["name:desc"])

    assert [one.name for one in found] == [f"g{number:02}" for number in reversed(range(GROUPS))]


async def test_the_first_of_several_sorts_weighs_most_and_ids_break_ties(many: Api) -> None:
    even = {"label_selector": "parity=even,n in (0,2,4)"}
    down = names(await many.listed("/placement_groups", sort=["name:desc", "id:asc"], **even))
    up = names(await many.listed("/placement_groups", **even))

    assert (down, up) == (["g04", "g02", "g00"], ["g00", "g02", "g04"])


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ("", 53),
        ("parity=odd", 26),
        ("parity==odd", 26),
        ("parity!=odd", 27),
        ("n in (1, 2)", 2),
        ("n notin (1, 2)", 51),
        ("parity", 53),
        ("!parity", 0),
        ("nothing", 0),
        ("parity=odd,n in (1,2)", 1),
    ],
)
async def test_a_selector_selects(many: Api, selector: str, count: int) -> None:
    told = await many.listed("/placement_groups", label_selector=selector)

    assert told["meta"]["pagination"]["total_entries"] == count


async def test_a_list_that_is_empty_has_one_page(many: Api) -> None:
    told = await many.listed("/placement_groups", name="nobody")

    assert told == {
        "placement_groups": [],
        "meta": {
            "pagination": {
                "page": 1,
                "per_page": 25,
                "previous_page": None,
                "next_page": None,
                "last_page": 1,
                "total_entries": 0,
            }
        },
    }


@pytest.mark.parametrize("kind", SORTABLE)
async def test_a_list_is_sorted_by_what_the_wire_names_and_nothing_else(module_api: Api, kind: str) -> None:
    for field in SORTABLE[kind]:
        for direction in ("", ":asc", ":desc"):
            await module_api.listed(f"/{kind}", sort=f"{field}{direction}")
    for wrong in ("password", "id:down", ":asc", "", "name;--"):
        refused = await module_api.http.get(f"/{kind}", params={"sort": wrong})
        assert fields_of(refused) == ["sort"], wrong


@pytest.mark.parametrize("kind", [*SORTABLE, "floating_ips", "volumes"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page": 0}, "page"),
        ({"page": -1}, "page"),
        ({"page": "x"}, "page"),
        ({"page": 10**30}, "page"),
        ({"per_page": 0}, "per_page"),
        ({"per_page": "1.5"}, "per_page"),
        ({"name": "a\0b"}, "name"),
    ],
)
async def test_what_cannot_be_asked_for_is_named(module_api: Api, kind: str, query: dict[str, Any], field: str) -> None:
    refused = await module_api.http.get(f"/{kind}", params=query)

    assert fields_of(refused) == [field]
