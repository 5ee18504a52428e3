"""An owner who brings images in, through the API, and what is left of it in the store and in the scratch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio

from api.stories import Stories
from infra.db import changes, image_imports
from infra.db.image_imports import NewImport
from infra.domain.changes import Change, Resource
from infra.domain.errors import Unavailable
from infra.domain.imports import CREATE_IMAGE
from infra.drivers.scratch import Scratch
from infra.drivers.store.mount import ImageStore
from infra.receiving import receive
from infra.temporal.names import import_id
from tests.fix_api import Api, serving_api
from tests.fix_region import NewRegion, Region, eventually
from tests.imports.disks import MIB


@dataclass
class Owner:
    """``http`` speaks with the API of the region as the owner of its project."""

    region: Region
    http: httpx.AsyncClient

    @property
    def store(self) -> ImageStore:
        return ImageStore(self.region.settings.image_store, settle=0)

    async def begin(self, **said: Any) -> dict[str, Any]:
        """An image that is to be brought in: the answer to its order."""
        reply = await self.http.post("/images", json=said)
        assert reply.status_code == 201, reply.text
        made: dict[str, Any] = reply.json()
        return made

    async def put(self, image_id: int, content: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.put(f"/images/{image_id}/upload", content=content, headers=named)

    async def offset(self, image_id: int) -> int:
        reply = await self.http.head(f"/images/{image_id}/upload")
        assert reply.status_code == 204
        return int(reply.headers["Upload-Offset"])

    async def go_on(self, image_id: int, whole: bytes) -> httpx.Response:
        """With an upload that broke, as a client does it: what the broken connection brought may still be arriving."""
        while True:
            offset = await self.offset(image_id)
            reply = await self.put(image_id, whole[offset:], Upload_Offset=str(offset))
            if reply.status_code != 409:
                return reply

    async def ended(self, made: dict[str, Any]) -> dict[str, Any]:
        """The action, once its story is over and has cleared up."""
        await eventually(lambda: self._is_over(made["image"]["id"]))
        action: dict[str, Any] = (await self.http.get(f"/actions/{made['action']['id']}")).json()["action"]
        return action

    async def _is_over(self, image_id: int) -> bool:
        handle = self.region.client.get_workflow_handle(import_id(image_id))
        return (await handle.describe()).close_time is not None

    async def image(self, image_id: int) -> dict[str, Any] | None:
        reply = await self.http.get(f"/images/{image_id}")
        found: dict[str, Any] | None = reply.json()["image"] if reply.status_code == 200 else None
        return found

    async def bring_in(self, content: bytes, **said: Any) -> dict[str, Any]:
        """An image that is there: the owner's view of it."""
        made = await self.begin(**said)
        reply = await self.put(made["image"]["id"], content)
        assert reply.status_code == 200, reply.text
        action = await self.ended(made)
        assert action["status"] == "success", action
        image = await self.image(made["image"]["id"])
        assert image is not None
        return image

    async def digest(self, image_id: int) -> str | None:
        row = await self.region.one("SELECT digest FROM images WHERE id = %s", image_id)
        return row["digest"] if row else None

    async def assert_nothing_left(self, image_id: int) -> None:
        """Neither of the upload nor of the work on it; what is in the store, an image names."""
        await self.assert_way_cleared(image_id)
        await self.assert_store_named()

    async def assert_way_cleared(self, image_id: int) -> None:
        assert image_id not in await self.store.uploads()
        assert image_id not in Scratch(self.region.settings.image_scratch).held_here()
        row = await self.region.one("SELECT count(*) AS n FROM image_segments WHERE image_id = %s", image_id)
        assert row == {"n": 0}

    async def assert_store_named(self) -> None:
        """While nobody writes to it: what is being written has no name yet."""
        async with self.region.pool.connection() as connection:
            named = await (await connection.execute("SELECT digest FROM images WHERE digest IS NOT NULL")).fetchall()
        await self.store.sweep(0)  # of who was killed
        known = {f"{row['digest']}.tar" for row in named}
        assert {path.name for path in (self.region.settings.image_store / "images").glob("*")} <= known


async def order_import(region: Region, **said: Any) -> Change:
    """An image that is to be brought in, as the API leaves it in the books; its story has not begun."""
    new = NewImport(region.project_id, None, "", {}, "x86", **said)
    async with region.pool.connection() as connection, connection.transaction():
        image_id = await image_imports.make_image(connection, new)
        about = [Resource("image", image_id)]
        action, change = await changes.accept(connection, region.project_id, region.location, CREATE_IMAGE, about)
        await image_imports.make_import(connection, image_id, action.id, new)
    return change


async def deliver(region: Region, change: Change, content: bytes) -> None:
    """All of it in the store, as the API receives it, and the story told so if it has begun."""

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(content), MIB):
            yield content[at : at + MIB]

    async with region.pool.connection() as connection:
        found = await image_imports.get(connection, region.project_id, change.resource.id)
        writing = await image_imports.take_place(connection, found, 0)
        limit = await image_imports.largest(connection)
    store = ImageStore(region.settings.image_store, settle=0)
    received = await receive(region.pool, store, writing, parts(), limit, whole=True)
    assert received.complete
    with suppress(Unavailable):  # the story finds out by itself
        await Stories(region.client).tell_import(change.resource.id, "uploaded")


def owner_of(api: Api) -> Owner:
    return Owner(api.region, api.http)


@pytest_asyncio.fixture(scope="module")
async def owner(module_region: NewRegion) -> AsyncIterator[Owner]:
    """Of a region that a module's tests share."""
    async with module_region() as region, serving_api(region) as api:
        yield owner_of(api)
