"""What happens to uploads when parts of the service fail: the store is full, or the API is killed in the middle."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.fix_api import Api, serving_api
from tests.fix_deployment import Deployment
from tests.fix_region import NewRegion, eventually
from tests.imports.disks import MIB, raw_disk, sha256
from tests.imports.fix_imports import Owner, owner_of
from workers.region import region_worker


@pytest.fixture
def small_mount(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one small image, and half of it taken."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=12m", "none", mount), check=True)
    (mount / "ballast").write_bytes(bytes(6 * MIB))
    yield mount
    subprocess.run(("umount", "-l", mount), check=True)


@pytest_asyncio.fixture
async def cramped(new_region: NewRegion, small_mount: Path) -> AsyncIterator[Owner]:
    """Of a region whose image store that is."""
    async with new_region(0, workers=False) as region:
        region.settings = region.settings.model_copy(update={"image_store": small_mount})
        async with region_worker(region.client, region.pool, region.settings), serving_api(region) as api:
            yield owner_of(api)


async def test_a_full_store_is_told_and_the_upload_goes_on_when_there_is_room(
    cramped: Owner, small_mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.receiving.EVERY_BYTES", MIB)  # what was acknowledged before stays
    disk = raw_disk(size=7 * MIB, seed=51)
    made = await cramped.begin(size=len(disk))
    id = made["image"]["id"]

    full = await cramped.put(id, disk)
    assert (full.status_code, full.json()["error"]["code"]) == (412, "resource_unavailable")
    assert "store is full" in full.json()["error"]["message"]
    assert 0 < await cramped.offset(id) < len(disk)

    await asyncio.to_thread((small_mount / "ballast").unlink)
    assert (await cramped.go_on(id, disk)).json()["upload"]["complete"]
    assert (await cramped.ended(made))["status"] == "success"


async def test_a_store_that_is_full_at_the_end_is_waited_for(
    cramped: Owner, small_mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def looked() -> float:
        nonlocal looks
        looks += 1
        return 0.0

    monkeypatch.setattr("activities.image_files.FULL_PAUSE", 0.1)
    monkeypatch.setattr("activities.image_files._tried_for", looked)
    made = await cramped.begin()
    assert (await cramped.put(made["image"]["id"], raw_disk(size=4 * MIB, seed=54, filled=3 * MIB))).is_success

    await eventually(lambda: asyncio.sleep(0, looks > 1))
    await asyncio.to_thread((small_mount / "ballast").unlink)

    assert (await cramped.ended(made))["status"] == "success"
    await cramped.assert_nothing_left(made["image"]["id"])


async def test_a_store_that_is_full_for_long_gives_everything_back(
    cramped: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.image_files.FULL_FOR", 0)
    made = await cramped.begin()
    assert (await cramped.put(made["image"]["id"], raw_disk(size=4 * MIB, seed=52, filled=3 * MIB))).is_success

    action = await cramped.ended(made)

    assert action["error"]["code"] == "resource_unavailable"
    assert "store is full" in action["error"]["message"]
    assert await cramped.image(made["image"]["id"]) is None
    await cramped.assert_nothing_left(made["image"]["id"])


@pytest_asyncio.fixture
async def deployed(stopped_deployment: Deployment) -> AsyncIterator[tuple[Deployment, Owner]]:
    """The API and the region's worker in processes of their own."""
    await stopped_deployment.start("api", "region")
    async with stopped_deployment.client() as http:
        api = Api(stopped_deployment.region, stopped_deployment.url, http)
        yield stopped_deployment, owner_of(api)


async def test_nothing_acknowledged_is_lost_with_the_api(deployed: tuple[Deployment, Owner]) -> None:
    deployment, owner = deployed
    disk = raw_disk(size=48 * MIB, seed=53, filled=40 * MIB)
    made = await owner.begin(sha256=sha256(disk), size=len(disk))
    id, sent = made["image"]["id"], 40 * MIB

    async def slowly() -> AsyncIterator[bytes]:
        for at in range(0, sent, MIB):
            yield disk[at : at + MIB]
        await asyncio.Event().wait()

    async def put() -> None:
        async with httpx.AsyncClient(base_url=deployment.url, timeout=60) as http:
            headers = {"Authorization": f"Bearer {deployment.region.token}"}
            await http.put(f"/api/v1/images/{id}/upload", content=slowly(), headers=headers)

    uploading = asyncio.create_task(put())
    acknowledged = await eventually(lambda: owner.offset(id))
    deployment.kill("api")
    with pytest.raises(httpx.TransportError):
        await uploading
    await eventually(lambda: deployment.answers(deployment.url))

    assert await owner.offset(id) >= acknowledged
    assert (await owner.go_on(id, disk)).json()["upload"]["complete"]
    assert (await owner.ended(made))["status"] == "success"
    await owner.assert_nothing_left(id)
