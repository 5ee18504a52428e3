"""Images that their owner uploads: what comes of them, and what of uploads that go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.stories import Stories
from infra.db import keys
from infra.domain.errors import Unavailable
from infra.temporal.names import import_id
from tests.api.refusals import fields_of, outcome_of
from tests.fix_api import serving_api
from tests.fix_region import NewRegion, eventually, serving_another_project
from tests.imports.disks import MIB, Kind, disk_file, raw_disk, sha256
from tests.imports.fix_imports import Owner, owner_of


async def unpacked(owner: Owner, image_id: int, into: Path) -> bytes:
    """The disk that a host gets."""
    digest = await owner.digest(image_id)
    assert digest is not None
    await asyncio.to_thread(into.mkdir)
    await owner.store.fetch(digest, into, lambda _: None)
    return await asyncio.to_thread((into / "disk.raw").read_bytes)


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vmdk", "streamOptimized"])
async def test_a_disk_of_each_kind_becomes_the_same_image(owner: Owner, tmp_path: Path, kind: Kind) -> None:
    disk = raw_disk(seed=7)
    content = disk_file(tmp_path, kind, disk)

    image = await owner.bring_in(content, name=f"golden-{kind}", sha256=sha256(content), size=len(content))

    assert (image["status"], image["type"], image["name"]) == ("available", "snapshot", f"golden-{kind}")
    assert (image["disk_size"], image["created_from"], image["os_flavor"]) == (1, None, "unknown")
    assert image["image_size"] > 0
    assert await unpacked(owner, image["id"], tmp_path / "out") == disk
    await owner.assert_nothing_left(image["id"])


async def test_an_upload_says_how_far_it_is(owner: Owner) -> None:
    disk = raw_disk(seed=2)
    made = await owner.begin(description="a disk", labels={"a": "b"})
    id = made["image"]["id"]

    assert {key: made["image"][key] for key in ("status", "type", "name", "disk_size", "image_size", "labels")} == {
        "status": "creating",
        "type": "snapshot",
        "name": None,
        "disk_size": 0,
        "image_size": None,
        "labels": {"a": "b"},
    }
    assert (made["action"]["command"], made["action"]["status"]) == ("create_image", "running")
    assert made["action"]["resources"] == [{"id": id, "type": "image"}]
    assert made["upload"] == {
        "url": f"/api/v1/images/{id}/upload",
        "offset": 0,
        "size": None,
        "complete": False,
        "limit": made["upload"]["limit"],
    }
    first = await owner.put(id, disk[: 3 * MIB], Upload_Complete="?0")
    assert first.json()["upload"] == {**made["upload"], "offset": 3 * MIB}
    assert await owner.offset(id) == 3 * MIB
    rest = await owner.put(id, disk[3 * MIB :], Upload_Offset=str(3 * MIB))
    assert rest.json()["upload"]["complete"]
    assert (await owner.ended(made))["progress"] == 100
    head = (await owner.http.head(f"/images/{id}/upload")).headers
    assert (head["Upload-Complete"], head["Upload-Length"], head["Cache-Control"]) == ("?1", str(len(disk)), "no-store")
    await owner.assert_nothing_left(id)


async def test_progress_is_a_share_of_the_size(owner: Owner) -> None:
    disk = raw_disk(seed=3)
    made = await owner.begin(size=len(disk))

    await owner.put(made["image"]["id"], disk[: len(disk) // 2], Upload_Complete="?0")

    action = (await owner.http.get(f"/actions/{made['action']['id']}")).json()["action"]
    assert action["progress"] == 25  # half of the bytes, which are half of the way
    await owner.http.delete(f"/images/{made['image']['id']}")
    await owner.ended(made)


async def test_a_broken_connection_goes_on_where_it_broke(owner: Owner) -> None:
    disk = raw_disk(seed=4)
    made = await owner.begin(sha256=sha256(disk))
    id = made["image"]["id"]

    async def breaks() -> AsyncIterator[bytes]:
        yield disk[: 2 * MIB]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await owner.put(id, breaks())
    offset = await eventually(lambda: owner.offset(id))
    assert 0 < offset <= 2 * MIB

    assert (await owner.go_on(id, disk)).json()["upload"]["complete"]
    assert (await owner.ended(made))["status"] == "success"


async def test_a_wrong_offset_is_told_the_right_one(owner: Owner) -> None:
    made = await owner.begin()
    id = made["image"]["id"]
    await owner.put(id, b"x" * 100, Upload_Complete="?0")

    replies = [await owner.put(id, b"y" * 50, Upload_Offset=at) for at in ("0", "99", "101")]

    for reply in replies:
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")
        assert (reply.json()["error"]["details"], reply.headers["Upload-Offset"]) == ({"offset": 100}, "100")
    assert await owner.offset(id) == 100
    await owner.http.delete(f"/images/{id}")
    await owner.ended(made)


async def test_of_two_writers_the_later_one_writes(owner: Owner) -> None:
    """What the earlier one sent and was not told to be there is not part of the image."""
    disk = raw_disk(seed=5)
    made = await owner.begin(sha256=sha256(disk), size=len(disk))
    id, taken_over = made["image"]["id"], asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"z" * 1000
        await taken_over.wait()
        yield b"z" * (len(disk) - 1000)

    earlier = asyncio.create_task(owner.put(id, slowly()))
    await eventually(lambda: has_writer(owner, id))
    later = await owner.put(id, disk)
    taken_over.set()

    assert later.status_code == 200, later.text
    lost = await earlier
    assert (lost.status_code, lost.json()["error"]["code"]) == (409, "conflict")
    assert int(lost.headers["Upload-Offset"]) == lost.json()["error"]["details"]["offset"]
    assert (await owner.ended(made))["status"] == "success"
    await owner.assert_nothing_left(id)


async def has_writer(owner: Owner, image_id: int) -> bool:
    return bool(
        await owner.region.one("SELECT writer FROM image_imports WHERE image_id = %s AND writer IS NOT NULL", image_id)
    )


async def test_more_than_was_announced_is_refused(owner: Owner) -> None:
    made = await owner.begin(size=1000)
    id = made["image"]["id"]

    async def unannounced() -> AsyncIterator[bytes]:
        yield b"x" * 600
        yield b"x" * 600

    replies = [await owner.put(id, b"x" * 1001), await owner.put(id, unannounced())]

    assert [fields_of(reply) for reply in replies] == [["size"]] * 2
    assert await owner.offset(id) <= 1000
    await owner.http.delete(f"/images/{id}")
    await owner.ended(made)


async def test_an_end_that_is_none_is_refused_and_the_upload_goes_on(owner: Owner) -> None:
    disk = raw_disk(seed=6)
    made = await owner.begin(size=len(disk))
    id = made["image"]["id"]

    short = await owner.put(id, disk[:MIB], Upload_Complete="?1")
    assert fields_of(short) == ["Upload-Complete"]
    assert (await owner.put(id, disk[MIB:], Upload_Offset=str(MIB))).json()["upload"]["complete"]
    assert (await owner.ended(made))["status"] == "success"
    again = await owner.put(id, b"x", Upload_Offset=str(len(disk)))
    assert (again.status_code, again.json()["error"]["code"]) == (422, "service_error")


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Upload_Offset": "-1"}, "Upload-Offset"),
        ({"Upload_Offset": "x"}, "Upload-Offset"),
        ({"Upload_Complete": "yes"}, "Upload-Complete"),
    ],
)
async def test_a_header_that_cannot_be_is_named(owner: Owner, headers: dict[str, str], field: str) -> None:
    assert fields_of(await owner.put(1, b"", **headers)) == [field]


SPOILT = {
    "another sha256": ({"sha256": "0" * 64}, slice(None), "sha256"),
    "another format": ({"format": "vmdk"}, slice(None), "vmdk"),
    "cut off": ({}, slice(0, MIB), "cut off"),
    "no disk": ({}, slice(512, 4096), "partition table"),
}


@pytest.mark.parametrize("case", SPOILT)
async def test_a_file_that_is_not_what_it_should_be_leaves_nothing(owner: Owner, tmp_path: Path, case: str) -> None:
    said, part, word = SPOILT[case]
    content = disk_file(tmp_path, "qcow2", raw_disk(seed=8, filled=2 * MIB))[part]
    made = await owner.begin(name="spoilt", **said)
    id = made["image"]["id"]

    assert (await owner.put(id, content)).status_code == 200
    action = await owner.ended(made)

    assert (action["status"], action["error"]["code"]) == ("error", "image_unusable")
    assert word in action["error"]["message"]
    assert await owner.image(id) is None
    assert (await owner.put(id, content)).status_code == 404
    await owner.assert_nothing_left(id)


async def test_a_deleted_image_stops_its_import(owner: Owner) -> None:
    made = await owner.begin(name="unwanted")
    id = made["image"]["id"]
    await owner.put(id, b"x" * 1000, Upload_Complete="?0")

    assert (await owner.http.delete(f"/images/{id}")).status_code == 204
    action = await owner.ended(made)

    assert (action["status"], action["error"]["code"]) == ("error", "image_deleted")
    assert (await owner.http.head(f"/images/{id}/upload")).status_code == 404
    await owner.assert_nothing_left(id)
    assert (await owner.begin(name="unwanted"))["image"]["id"] > id  # the name is free again


async def test_a_story_that_was_not_told_finds_out_by_itself(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.imports.LOOK", 1.0)

    async def unheard(*_: object) -> None:
        raise Unavailable("nobody answers")

    monkeypatch.setattr(Stories, "tell_import", unheard)
    kept, unwanted = await owner.begin(), await owner.begin()

    assert (await owner.put(kept["image"]["id"], raw_disk(seed=9))).status_code == 200
    assert (await owner.http.delete(f"/images/{unwanted['image']['id']}")).status_code == 204

    assert (await owner.ended(kept))["status"] == "success"
    assert (await owner.ended(unwanted))["error"]["code"] == "image_deleted"


async def test_a_name_is_one_images_only(owner: Owner) -> None:
    made = await owner.begin(name="mine")

    taken = await owner.http.post("/images", json={"name": "mine"})
    systems = await owner.http.post("/images", json={"name": "tiny"})
    other = await owner.http.post("/images", json={"name": "mine", "architecture": "arm"})

    assert [reply.status_code for reply in (taken, systems, other)] == [409, 409, 201]
    assert taken.json()["error"]["code"] == systems.json()["error"]["code"] == "uniqueness_error"
    found = (await owner.http.get("/images", params={"name": "mine", "architecture": "x86"})).json()["images"]
    assert [one["id"] for one in found] == [made["image"]["id"]]


async def test_a_project_brings_in_so_many_at_a_time(module_region: NewRegion) -> None:
    async with module_region(0) as region:
        region.settings = region.settings.model_copy(update={"images_at_once": 3})
        async with serving_api(region) as api:
            replies = await asyncio.gather(*(api.http.post("/images", json={}) for _ in range(6)))
            made = [reply.json()["image"]["id"] for reply in replies if reply.status_code == 201]
            assert sorted(outcome_of(reply) for reply in replies) == ["201"] * 3 + ["resource_limit_exceeded"] * 3
            await api.http.delete(f"/images/{made[0]}")
            assert (await api.http.post("/images", json={})).status_code == 201


@pytest.mark.parametrize(
    ("limits", "resource"), [({"images_per_project": 1}, "images"), ({"image_gb_per_project": 0.001}, "image_gb")]
)
async def test_a_project_keeps_so_much(module_region: NewRegion, limits: dict[str, float], resource: str) -> None:
    async with module_region(0) as region:
        region.settings = region.settings.model_copy(update=limits)
        async with serving_api(region) as api:
            owner = owner_of(api)
            kept = await owner.bring_in(raw_disk(size=4 * MIB, seed=61, filled=3 * MIB))

            refused = await owner.http.post("/images", json={})
            await owner.http.delete(f"/images/{kept['id']}")
            again = await owner.http.post("/images", json={})

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "resource_limit_exceeded")
    assert [limit["resource"] for limit in refused.json()["error"]["details"]["limits"]] == [resource]
    assert again.status_code == 201


async def test_what_was_announced_counts(module_region: NewRegion) -> None:
    async with module_region(0) as region:
        region.settings = region.settings.model_copy(update={"image_gb_per_project": 2})
        async with serving_api(region) as api:
            replies = [await api.http.post("/images", json={"size": 2**30}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [201, 201, 403]


async def test_every_wrong_field_is_named_at_once(owner: Owner) -> None:
    wrong = {
        "name": "12",
        "description": "x" * 256,
        "labels": {"-": ""},
        "architecture": "mips",
        "sha256": "xyz",
        "size": 0,
        "format": "iso",
        "source_url": "http://example.com/a",
    }

    reply = await owner.http.post("/images", json=wrong)

    assert fields_of(reply) == list(wrong)
    assert fields_of(await owner.http.post("/images", json={"size": 2**52})) == ["size"]


async def test_a_repeated_order_is_one_image(owner: Owner) -> None:
    headers = {"Idempotency-Key": "once-image"}

    first, again = [await owner.http.post("/images", json={"name": "once"}, headers=headers) for _ in range(2)]

    assert (first.status_code, again.content) == (201, first.content)


async def test_another_projects_upload_is_not_there(owner: Owner) -> None:
    made = await owner.begin()
    path = f"/images/{made['image']['id']}/upload"
    async with serving_another_project(owner.region) as token:
        stranger = {"Authorization": f"Bearer {token}"}
        replies = [
            await owner.http.put(path, content=b"x" * 5_000_000, headers=stranger),
            await owner.http.get(path, headers=stranger),
            await owner.http.head(path, headers=stranger),
        ]

    assert [reply.status_code for reply in replies] == [404] * 3
    assert await owner.offset(made["image"]["id"]) == 0


async def test_who_may_only_look_uploads_nothing(owner: Owner) -> None:
    made = await owner.begin()
    path = f"/images/{made['image']['id']}/upload"
    secret = keys.server_secret(owner.region.settings)
    name = owner.region.location
    async with owner.region.pool.connection() as connection:
        token = await keys.make_key(connection, secret, user=name, project=name, name="looks", read_only=True)
    headers = {"Authorization": f"Bearer {token}"}

    put = await owner.http.put(path, content=b"x", headers=headers)
    head = await owner.http.head(path, headers=headers)

    assert (put.status_code, put.json()["error"]["code"], head.status_code) == (401, "token_readonly", 204)


async def test_an_upload_that_never_comes_is_given_up(owner: Owner) -> None:
    made = await owner.begin()
    id = made["image"]["id"]
    await owner.put(id, b"x" * 100, Upload_Complete="?0")

    await owner.region.execute("UPDATE image_imports SET touched = now() - interval '25 hours' WHERE image_id = %s", id)
    await owner.region.client.get_workflow_handle(import_id(id)).signal("uploaded")  # look again
    action = await owner.ended(made)

    assert (action["error"]["code"], await owner.image(id)) == ("upload_abandoned", None)
    await owner.assert_nothing_left(id)
