"""Placement groups, as hcloud-python has them: named, labelled, and deleted when nothing is in them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hcloud import APIException

from tests.api.refusals import fields_of
from tests.fix_api import Api


async def test_a_groups_life(module_api: Api) -> None:
    await asyncio.to_thread(_a_groups_life, module_api)


def _a_groups_life(api: Api) -> None:
    groups = api.hcloud.placement_groups
    made = groups.create(name="web", type="spread", labels={"a": "b"})
    group = made.placement_group
    assert (made.action, group.name, group.type, group.servers, group.labels) == (None, "web", "spread", [], {"a": "b"})
    named = groups.get_by_name("web")
    assert named is not None
    assert [named.id, groups.get_by_id(group.id).id] == [group.id] * 2
    assert [one.id for one in groups.get_all(label_selector="a=b", sort=["created:desc"])] == [group.id]

    with pytest.raises(APIException) as taken:
        groups.create(name="web", type="spread")
    renamed = group.update(name="front", labels={})
    assert (renamed.name, renamed.labels) == ("front", {})
    assert group.delete()
    with pytest.raises(APIException) as gone:
        groups.get_by_id(group.id)
    assert [str(one.value.code) for one in (taken, gone)] == ["uniqueness_error", "not_found"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name", "type"]),
        ({"name": "", "type": "spread"}, ["name"]),
        ({"name": "x", "type": "pack"}, ["type"]),
        ({"name": "x" * 300, "type": "spread"}, ["name"]),
        ({"name": "a\0b", "type": "spread", "labels": {"hetzner.cloud/x": "y"}}, ["name", "labels"]),
        ({"name": None, "type": None}, ["name", "type"]),
    ],
)
async def test_what_cannot_be_is_named_field_by_field(module_api: Api, body: dict[str, Any], fields: list[str]) -> None:
    reply = await module_api.http.post("/placement_groups", json=body)

    assert fields_of(reply) == fields


async def test_a_list_is_of_a_type_that_there_is(module_api: Api) -> None:
    await module_api.listed("/placement_groups", type=["spread"])
    reply = await module_api.http.get("/placement_groups", params={"type": "pack"})

    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_input")
