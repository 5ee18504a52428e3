"""Every step of an import struck by what may strike it: it ends as it should, once, and leaves nothing on its way.

Whoever works on it is also killed, in each of its steps: another one goes on with what was received.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.image_files import ImageFiles, Places, _keep
from api.stories import Stories
from infra.db import image_imports
from infra.domain.changes import Change
from infra.domain.errors import ImageUnusable, Unavailable
from infra.domain.imports import FinishedImport
from infra.drivers.scratch import Scratch
from infra.drivers.store.errors import ImageDamaged, ImageMissing
from infra.drivers.store.mount import ImageStore
from infra.temporal.names import change_id
from tests.faults.process import Mortal, living
from tests.faults.sabotage import WAYS
from tests.faults.saboteur import Saboteur, Strike
from tests.faults.steps import ELSEWHERE
from tests.fix_api import Api, serving
from tests.fix_region import NewRegion, Region, eventually
from tests.imports.disks import MIB, raw_disk, sha256
from tests.imports.fix_imports import Owner, deliver, order_import, owner_of
from workers.region import region_worker

DISK = raw_disk(size=4 * MIB, seed=31)
WORK = ("read_import", "gather_image", "convert_image", "publish_image")
FAULTS = ("error_after", "answer_lost", "twice", "again", "delete_arrives")
FAILING = {"fail_import"}
"""Steps that only an import comes to which fails."""


def cells() -> list[tuple[str, str]]:
    """Like a chess board, half of it; `make faults`: all."""
    whole = bool(os.environ.get("FAULTS_ALL"))
    steps = sorted(ELSEWHERE - {"fetch_source"})
    possible = [
        (step, fault, row + column)
        for row, step in enumerate(steps)
        for column, fault in enumerate(FAULTS)
        if fault != "delete_arrives" or step in WORK
    ]
    return [(step, fault) for step, fault, place in possible if whole or place % 2 or fault == "delete_arrives"]


def test_every_step_is_struck() -> None:
    assert {step for step, _ in cells()} == ELSEWHERE - {"fetch_source"}
    assert {fault for _, fault in cells()} == set(FAULTS)


@pytest_asyncio.fixture(scope="module")
async def url(module_region: NewRegion) -> AsyncIterator[str]:
    """An API for all regions."""
    async with module_region(0, workers=False) as region, serving(region.settings) as url:
        yield url


@asynccontextmanager
async def owning(region: Region, url: str) -> AsyncIterator[Owner]:
    headers = {"Authorization": f"Bearer {region.token}"}
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=60) as http:
        yield owner_of(Api(region, url, http))


async def seen_to_its_end(owner: Owner, change: Change, ends: set[str | None]) -> None:
    """``ends``: the errors with one of which it may end; None: with an image."""
    made = {"image": {"id": change.resource.id}, "action": {"id": change.action_id}}
    action = await owner.ended(made)
    code = action["error"]["code"] if action["error"] else None
    assert code in ends, action
    image = await owner.image(change.resource.id)
    assert (image is not None and image["status"] == "available") == (code is None)
    await owner.assert_way_cleared(change.resource.id)


async def begin(region: Region, change: Change) -> None:
    """As the sweep does it, until Temporal has taken it."""

    async def taken() -> bool:
        with suppress(Unavailable):
            await Stories(region.client).begin_change(change)
            return True
        return False

    await eventually(taken)


async def begun(region: Region, **said: Any) -> Change:
    change = await order_import(region, **said)
    if "source_url" not in said:
        await deliver(region, change, DISK)
    return change


@pytest.mark.timeout(300)
async def test_an_import_ends_as_it_should_whatever_strikes_a_step(module_region: NewRegion, url: str) -> None:
    saboteur = Saboteur(WAYS)
    async with module_region(0, workers=False) as region, owning(region, url) as owner:
        client = await saboteur.connect(region.settings)

        async def strike(step: str, fault: str) -> None:
            change = await begun(region, sha256="0" * 64 if step in FAILING else sha256(DISK))
            victim = saboteur.victims[change_id(change)]
            victim.plan, victim.delete = [Strike(step, fault)], partial(_delete, owner, change)
            await begin(region, change)
            ends: set[str | None] = {"image_deleted", None} if fault == "delete_arrives" else {None}
            await seen_to_its_end(owner, change, {"image_unusable"} if step in FAILING else ends)
            assert victim.missed == []
            await asyncio.gather(*victim.aftermath)

        async with region_worker(client, region.pool, region.settings):
            wrong = await _all((f"{step}:{fault}", strike(step, fault)) for step, fault in cells())
        assert wrong == []
        await owner.assert_store_named()


async def _delete(owner: Owner, change: Change) -> None:
    assert (await owner.http.delete(f"/images/{change.resource.id}")).status_code in (204, 404)


async def _all(trials: Any) -> list[str]:
    """Some at a time; what went wrong, by name."""
    room = asyncio.Semaphore(6)

    async def one(name: str, trial: Awaitable[None]) -> str | None:
        async with room:
            try:
                await trial
            except Exception as error:
                return f"{name}: {type(error).__name__}: {error}"
        return None

    ended = await asyncio.gather(*(one(name, trial) for name, trial in trials))
    return [wrong for wrong in ended if wrong]


async def test_another_machine_goes_on_with_what_was_received(module_region: NewRegion, tmp_path: Path) -> None:
    """Each step makes sure of those before it: the scratch of the worker that did them is not there."""
    async with module_region(0, workers=False) as region:
        change = await begun(region, sha256=sha256(DISK))
        store = ImageStore(region.settings.image_store, settle=0)
        there, here = (ImageFiles(region.pool, store, Scratch(tmp_path / name)) for name in ("there", "here"))
        environment = ActivityEnvironment()
        await environment.run(there.gather_image, change)
        await environment.run(there.convert_image, change)

        stored = await environment.run(here.publish_image, change)

        assert stored.virtual_size == len(DISK)
        assert stored.digest in await store.images()
        async with region.pool.connection() as connection:
            await image_imports.finish(connection, FinishedImport(change, stored), [])


def test_a_disk_survives_a_power_cut_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    fresh, image = tmp_path / "image.part", tmp_path / "image"
    monkeypatch.setattr("activities.image_files.sync", lambda path: synced.append((path.name, image.exists())))
    fresh.mkdir()
    (fresh / "disk.raw").touch()

    _keep(fresh, image)

    assert synced == [("disk.raw", False), ("image.part", False), (tmp_path.name, True)]


@pytest.mark.parametrize("trouble", [ImageMissing("gone"), ImageDamaged("not what was written")])
async def test_what_the_store_does_not_keep_is_stored_once_more(
    module_region: NewRegion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """It says nothing of the upload."""
    async with module_region(0, workers=False) as region:
        change = await begun(region)
        files = ImageFiles(region.pool, ImageStore(region.settings.image_store, settle=0), Scratch(tmp_path))
        with monkeypatch.context() as patched:
            patched.setattr(ImageStore, "publish", partial(_raise, trouble))
            with pytest.raises(Unavailable):
                await ActivityEnvironment().run(files.publish_image, change)

        assert (await ActivityEnvironment().run(files.publish_image, change)).virtual_size == len(DISK)


async def test_a_part_that_is_not_seen_is_looked_for_again_for_some_time(
    module_region: NewRegion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with module_region(0, workers=False) as region:
        change = await begun(region)
        store = ImageStore(region.settings.image_store, settle=0)
        files = ImageFiles(region.pool, store, Scratch(tmp_path))
        await store.discard(change.resource.id)

        monkeypatch.setattr("activities.image_files._tried_for", lambda: 10.0)
        with pytest.raises(Unavailable):
            await ActivityEnvironment().run(files.gather_image, change)
        monkeypatch.setattr("activities.image_files._tried_for", lambda: 301.0)
        with pytest.raises(ImageUnusable, match="not there any more"):
            await ActivityEnvironment().run(files.gather_image, change)


async def _raise(trouble: Exception, *_: Any) -> None:
    raise trouble


async def test_a_project_leaves_places_to_others() -> None:
    places, taken, enough = Places(4, 2), [], asyncio.Event()

    async def work(project_id: int) -> None:
        async with places.of(project_id):
            taken.append(project_id)
            await enough.wait()

    working = [asyncio.create_task(work(project_id)) for project_id in (1, 1, 1, 1, 1, 2, 3)]
    await eventually(lambda: asyncio.sleep(0, sorted(taken) == [1, 1, 2, 3]))
    enough.set()
    await asyncio.gather(*working)
    assert sorted(taken) == [1, 1, 1, 1, 1, 2, 3]


KILLS = [
    *((step, fault) for step in WORK[1:] for fault in ("killed_midway", "killed_after")),
    *((step, "killed_after") for step in ("finish_import", "clear_import", "fail_import")),
]


@pytest.mark.timeout(300)
async def test_an_import_survives_the_death_of_whoever_works_on_it(module_region: NewRegion, url: str) -> None:
    """kill -9, by itself, in each step: with what was received another one goes on, and nobody uploads again."""

    async def kill(step: str, fault: str) -> None:
        async with module_region(0, workers=False) as region, owning(region, url) as owner:
            change = await begun(region, sha256="0" * 64 if step in FAILING else sha256(DISK))
            mortal = Mortal("region", region.settings, change_id(change), [Strike(step, fault)])
            mortal.comes_back.set()
            async with living(mortal):
                await begin(region, change)
                await seen_to_its_end(owner, change, {"image_unusable" if step in FAILING else None})
            assert mortal.killed == 1

    wrong = await _all((f"{step}:{fault}", kill(step, fault)) for step, fault in KILLS)
    assert wrong == []
    async with module_region(0, workers=False) as region, owning(region, url) as owner:
        await owner.assert_store_named()
