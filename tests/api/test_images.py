"""Images, as hcloud-python has them: what the system offers, and what is a project's own.

Those here are written into the books by hand; how a project brings its own in is told in `tests/imports`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hcloud import APIException
from hcloud.images import Image

from tests.api.refusals import fields_of
from tests.fix_api import Api
from tests.fix_region import serving_another_project

CATALOG = """
images:
- {name: twin, id: 9001, digest: X86, disk: 1 GiB, agent: true}
- {name: twin, id: 9002, architecture: arm, digest: ARM, disk: 1 GiB, agent: true}
- {name: leaving, id: 9003, digest: X86, deprecation: {announced: 2026-01-01, unavailable_after: 2099-01-01}}
- {name: unbuilt, id: 9004}
""".replace("X86", "c" * 64).replace("ARM", "d" * 64)

MAKE = """
INSERT INTO images (project_id, type, status, description, disk_gib, digest, labels, created_from_id, created_from_name,
                    bound_to, size_gb)
VALUES (%s, %s, %s, %s, 2, repeat('e', 64), jsonb_build_object('n', %s::text), 77, 'web', %s, 0.5) RETURNING id"""


@dataclass
class Shelf:
    """The images of an installation; those made here are the asking project's."""

    api: Api

    async def make(
        self, type: str = "snapshot", status: str = "available", label: str = "", bound_to: int | None = None
    ) -> int:
        asked = (self.api.region.project_id, type, status, f"a {type}", label, bound_to)
        row = await self.api.region.one(MAKE, *asked)
        assert row is not None
        return int(row["id"])

    async def ids(self, **query: Any) -> list[int]:
        return [one["id"] for one in (await self.api.listed("/images", **query))["images"]]


@pytest_asyncio.fixture
async def shelf(installation: Api) -> Shelf:
    await installation.offer(CATALOG)
    await installation.region.execute("DELETE FROM image_imports")
    await installation.region.execute("DELETE FROM images WHERE project_id IS NOT NULL")
    return Shelf(installation)


def refused(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def test_a_name_stands_once_for_each_architecture(shelf: Shelf) -> None:
    def look() -> list[int | None]:
        images = shelf.api.hcloud.images
        both = [images.get_by_name_and_architecture("twin", one) for one in ("x86", "arm")]
        return [one and one.id for one in (*both, images.get_by_name_and_architecture("TWIN", "x86"))]

    assert await asyncio.to_thread(look) == [9001, 9002, None]
    assert await shelf.ids(name="twin") == [9001, 9002]
    assert await shelf.ids(name="twin", architecture="arm") == [9002]


async def test_a_deprecated_one_is_hidden_until_it_is_asked_for(shelf: Shelf) -> None:
    by_name = shelf.api.hcloud.images.get_by_name_and_architecture
    asked = {"name": "leaving", "architecture": "x86"}
    hidden, found = await asyncio.gather(
        asyncio.to_thread(by_name, **asked), asyncio.to_thread(by_name, **asked, include_deprecated=True)
    )
    told = (await shelf.api.http.get("/images/9003")).json()["image"]

    assert (hidden, found.id) == (None, 9003)
    assert told["deprecated"] == told["deprecation"]["announced"] == "2026-01-01T00:00:00+00:00"
    assert told["deprecation"]["unavailable_after"] == "2099-01-01T00:00:00+00:00"


@pytest.mark.parametrize("said", ["True", "true", "1"])
async def test_clients_say_true_in_their_own_ways(shelf: Shelf, said: str) -> None:
    assert 9003 in await shelf.ids(include_deprecated=said)


async def test_hcloud_python_sends_its_page_size_for_a_status(shelf: Shelf) -> None:
    found = await asyncio.to_thread(shelf.api.hcloud.images.get_all, status=["available"])

    assert {9001, 9002} <= {one.id for one in found}


async def test_filters_narrow_each_other(shelf: Shelf) -> None:
    snapshot = await shelf.make(label="1")
    creating = await shelf.make(status="creating", label="2")
    backup = await shelf.make("backup", bound_to=77)

    assert await shelf.ids(type="snapshot") == [snapshot, creating]
    assert await shelf.ids(type=["snapshot", "backup"]) == [snapshot, creating, backup]
    assert await shelf.ids(type="snapshot", status="creating") == [creating]
    assert await shelf.ids(bound_to=[77, 78]) == [backup]
    assert await shelf.ids(label_selector="n in (1,2)", sort="id:desc") == [creating, snapshot]
    assert await shelf.ids(type="app") == []
    assert not {snapshot, creating, backup} & set(await shelf.ids(type="system", include_deprecated=True))


async def test_what_a_snapshot_has_not_is_null(shelf: Shelf) -> None:
    told = (await shelf.api.http.get(f"/images/{await shelf.make()}")).json()["image"]
    system = (await shelf.api.http.get("/images/9001")).json()["image"]

    assert told["created_from"] == {"id": 77, "name": "web"}
    assert (told["name"], told["image_size"], told["disk_size"]) == (None, 0.5, 2)
    for image in (told, system):
        assert [image[key] for key in ("bound_to", "deprecated", "deprecation", "deleted")] == [None] * 4
    assert (system["image_size"], system["created_from"], system["labels"]) == (None, None, {})


async def test_a_snapshots_life(shelf: Shelf) -> None:
    id = await shelf.make("backup", bound_to=77)
    await asyncio.to_thread(_a_snapshots_life, shelf.api, id)
    assert id not in await shelf.ids(include_deprecated=True)


def _a_snapshots_life(api: Api, id: int) -> None:
    images = api.hcloud.images
    image = images.get_by_id(id)
    with pytest.raises(APIException) as bound:
        image.change_protection(delete=True)
    kept = image.update(description="kept", type="snapshot", labels={"a": "b"})
    assert (kept.type, kept.description, kept.labels, kept.bound_to) == ("snapshot", "kept", {"a": "b"}, None)
    assert kept.update(labels={}).labels == {}
    assert images.get_by_id(id).description == "kept"

    kept.change_protection(delete=True).wait_until_finished()
    with pytest.raises(APIException) as protected:
        kept.delete()
    kept.change_protection(delete=False).wait_until_finished()
    actions = images.get_actions(Image(id=id))
    assert [one.command for one in actions] == ["change_protection"] * 2
    assert [one.status for one in images.get_actions_list(Image(id=id), status=["success"]).actions] == ["success"] * 2
    assert kept.delete()
    with pytest.raises(APIException) as gone:
        images.get_by_id(id)
    assert [str(one.value.code) for one in (bound, protected, gone)] == ["forbidden", "protected", "not_found"]
    assert api.hcloud.actions.get_by_id(actions[0].id).status == "success"  # actions outlive what they are about


async def test_system_images_are_the_operators(shelf: Shelf) -> None:
    http = shelf.api.http

    assert refused(await http.put("/images/9001", json={"description": "mine"})) == (403, "forbidden")
    assert refused(await http.delete("/images/9001")) == (403, "forbidden")
    protect = await http.post("/images/9001/actions/change_protection", json={"delete": True})
    assert refused(protect) == (403, "forbidden")
    assert (await http.get("/images/9001")).json()["image"]["description"] != "mine"


async def test_another_projects_snapshot_is_not_there(shelf: Shelf) -> None:
    id = await shelf.make()
    async with serving_another_project(shelf.api.region) as token:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"{shelf.api.url}/api/v1", headers=headers, timeout=60) as stranger:
            replies = [
                await stranger.get(f"/images/{id}"),
                await stranger.put(f"/images/{id}", json={"labels": {}}),
                await stranger.delete(f"/images/{id}"),
                await stranger.post(f"/images/{id}/actions/change_protection", json={"delete": True}),
                await stranger.get(f"/images/{id}/actions"),
            ]
            seen = (await stranger.get("/images", params={"type": "snapshot"})).json()["images"]

    assert ([refused(one) for one in replies], seen) == ([(404, "not_found")] * 5, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "backup"}, "type"),
        ({"description": 3}, "description"),
        ({"description": "x" * 300}, "description"),
        ({"description": "a\0b"}, "description"),
        ({"labels": {"-a": "b"}}, "labels"),
    ],
)
async def test_a_change_that_cannot_be_is_named(shelf: Shelf, body: dict[str, Any], field: str) -> None:
    reply = await shelf.api.http.put(f"/images/{await shelf.make()}", json=body)

    assert fields_of(reply) == [field]


@pytest.mark.parametrize(
    "query", [{"type": "windows"}, {"architecture": "mips"}, {"bound_to": "x"}, {"bound_to": 2**70}, {"bound_to": 0}]
)
async def test_a_filter_that_cannot_be_is_named(shelf: Shelf, query: dict[str, Any]) -> None:
    reply = await shelf.api.http.get("/images", params=query)

    assert refused(reply) == (422, "invalid_input")
    (field,) = query
    assert reply.json()["error"]["details"]["fields"][0]["name"].split(".")[0] == field
