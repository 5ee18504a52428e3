"""Images that are fetched from where their owner says: with the same story as an upload, and the same ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.image_sources import ImageSources
from api.stories import Stories
from infra.drivers.web import Web
from tests.fix_api import serving_api
from tests.fix_region import NewRegion, eventually
from tests.imports.disks import MIB, disk_file, raw_disk, sha256
from tests.imports.fix_imports import Owner, order_import, owner_of
from tests.imports.web_server import WebServer, web_server
from workers.region import region_worker

DISK = raw_disk(seed=21)


async def here(name: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebServer]:
    async with web_server(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def owner(module_region: NewRegion, server: WebServer) -> AsyncIterator[Owner]:
    """Of a region whose worker takes the loopback for the public web."""
    web = Web(allow=("127.0.0.1",), ask=here, trust=server.trust)
    async with module_region(workers=False) as region, serving_api(region) as api:
        settings = region.settings.model_copy(update={"timeout_factor": 0.05})
        async with region_worker(region.client, region.pool, settings, web=web):
            yield owner_of(api)


@pytest.fixture
def source(server: WebServer) -> str:
    """A file that is there, whole and unbroken."""
    server.asked, server.breaks, server.stalls = [], [], False
    server.files["/disk"] = DISK
    return server.url("/disk")


async def test_a_file_on_the_web_becomes_an_image(owner: Owner, source: str, server: WebServer, tmp_path: Path) -> None:
    content = disk_file(tmp_path, "qcow2", DISK)
    server.files["/disk"] = content
    said = {"name": "fetched", "source_url": source, "sha256": sha256(content), "format": "qcow2"}

    reply = await owner.http.post("/images", json=said, headers={"Prefer": "wait=60"})

    assert (reply.status_code, reply.json()["upload"]) == (201, None)
    assert (reply.json()["action"]["status"], reply.json()["image"]["status"]) == ("success", "available")
    assert len(server.asked) == 1
    upload = (await owner.http.get(f"/images/{reply.json()['image']['id']}/upload")).json()["upload"]
    assert (upload["url"], upload["offset"], upload["complete"]) == (None, len(content), True)
    await owner.ended(reply.json())
    await owner.assert_nothing_left(reply.json()["image"]["id"])


async def test_a_broken_answer_goes_on_where_it_broke(owner: Owner, source: str, server: WebServer) -> None:
    server.breaks = [3 * MIB, MIB]
    made = await owner.begin(source_url=source, sha256=sha256(DISK))

    assert (await owner.ended(made))["status"] == "success"

    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for _, asked in server.asked]
    assert starts[0] == 0
    assert len(starts) == 3
    assert 0 < starts[1] <= 3 * MIB
    assert starts[1] < starts[2] <= 4 * MIB


async def test_another_file_is_read_from_its_beginning(owner: Owner, source: str, server: WebServer) -> None:
    """Its source was replaced while it was read: nothing of the old one is in the image."""
    newer = raw_disk(seed=22)
    server.breaks = [3 * MIB]
    made = await owner.begin(source_url=source, sha256=sha256(newer))

    async def broke() -> bool:
        return bool(server.asked) and not server.breaks

    await eventually(broke, every=0.001)
    server.files["/disk"] = newer

    assert (await owner.ended(made))["status"] == "success"


FAILING = {
    "it is not there": ({}, 404, "404"),
    "it is away": ({}, 503, "503"),
    "it ends too early": ({"size": len(DISK) + 1}, None, "ended after"),
    "it is too long": ({"size": len(DISK) - 1}, None, "more bytes than"),
    "it is another one": ({"sha256": "1" * 64}, None, "sha256"),
}


@pytest.mark.parametrize("case", FAILING)
async def test_a_source_without_the_image_leaves_nothing(
    owner: Owner, source: str, server: WebServer, case: str
) -> None:
    said, status, word = FAILING[case]
    server.statuses = {"/disk": status} if status else {}
    made = await owner.begin(source_url=source, **said)

    action = await owner.ended(made)
    server.statuses = {}

    assert action["status"] == "error"
    assert word in action["error"]["message"]
    assert await owner.image(made["image"]["id"]) is None
    await owner.assert_nothing_left(made["image"]["id"])


async def test_a_source_that_trickles_is_given_up(
    owner: Owner, source: str, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each try brings something: it would keep a place from the others for a day."""
    monkeypatch.setattr("infra.receiving.LOOK", 0.2)
    monkeypatch.setattr("infra.receiving.EVERY_SECONDS", 0.05)
    server.stalls = True
    made = await owner.begin(source_url=source)

    action = await owner.ended(made)

    assert action["error"]["code"] == "image_unusable"
    assert "64 KiB/s" in action["error"]["message"]
    assert len(server.asked) == 6


async def test_a_delete_stops_the_fetching(owner: Owner, source: str, server: WebServer) -> None:
    server.stalls = True
    made = await owner.begin(source_url=source)

    async def began() -> bool:
        return bool(server.asked)

    await eventually(began)
    assert (await owner.http.delete(f"/images/{made['image']['id']}")).status_code == 204

    assert (await owner.ended(made))["error"]["code"] == "image_deleted"
    await owner.assert_nothing_left(made["image"]["id"])


async def test_what_is_fetched_takes_no_upload(owner: Owner, source: str, server: WebServer) -> None:
    server.stalls = True
    made = await owner.begin(source_url=source)

    reply = await owner.put(made["image"]["id"], b"x")

    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "service_error")
    await owner.http.delete(f"/images/{made['image']['id']}")
    await owner.ended(made)


async def test_another_worker_goes_on_where_the_first_one_died(
    owner: Owner, source: str, server: WebServer, tmp_path: Path
) -> None:
    server.stalls = True
    change = await order_import(owner.region, source_url=source)
    web = Web(allow=("127.0.0.1",), ask=here, trust=server.trust)
    first, second = (ImageSources(owner.region.pool, owner.store, web, pause=0.01) for _ in range(2))
    dying = asyncio.create_task(ActivityEnvironment().run(first.fetch_source, change))
    acknowledged = await eventually(lambda: owner.offset(change.resource.id))
    dying.cancel()
    await asyncio.wait([dying])

    server.stalls, server.asked = False, []
    await ActivityEnvironment().run(second.fetch_source, change)

    assert [asked for _, asked in server.asked] == [f"bytes={acknowledged}-"]
    await Stories(owner.region.client).begin_change(change)
    made = {"image": {"id": change.resource.id}, "action": {"id": change.action_id}}
    assert (await owner.ended(made))["status"] == "success"
