"""The life of an image that was brought in: servers are made of it, and it stays while one is being made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from infra.drivers.simulated import Fault
from tests.api.refusals import fields_of
from tests.fix_api import Api
from tests.fix_region import eventually
from tests.imports.disks import raw_disk
from tests.imports.fix_imports import Owner, owner_of


@dataclass
class Shop:
    """``image``: one that was brought in, called ``mine``."""

    api: Api
    owner: Owner
    image: dict[str, Any]

    async def order(self, image: int | str, name: str = "web") -> httpx.Response:
        return await self.api.create(name, image=image)


@pytest_asyncio.fixture(scope="module")
async def stocked(module_api: Api) -> Shop:
    owner = owner_of(module_api)
    return Shop(module_api, owner, await owner.bring_in(raw_disk(seed=41), name="mine"))


@pytest_asyncio.fixture
async def shop(stocked: Shop) -> AsyncIterator[Shop]:
    yield stocked
    stocked.api.region.host.clear()


@pytest.mark.parametrize("by", ["id", "name"])
async def test_servers_are_made_of_it_by_id_and_by_name(shop: Shop, by: str) -> None:
    reply = await shop.order(shop.image[by], f"by-{by}")

    assert reply.status_code == 201, reply.text
    await shop.api.succeeded(reply.json()["action"]["id"])
    server = (await shop.api.http.get(f"/servers/{reply.json()['server']['id']}")).json()["server"]
    assert (server["image"]["id"], server["image"]["name"]) == (shop.image["id"], "mine")


async def test_hcloud_finds_it_by_name(shop: Shop) -> None:
    found = await asyncio.to_thread(shop.api.hcloud.images.get_by_name_and_architecture, "mine", "x86")

    assert found is not None
    assert (found.id, found.type, found.status) == (shop.image["id"], "snapshot", "available")


async def test_what_is_still_being_made_is_refused(shop: Shop) -> None:
    made = await shop.owner.begin(name="early")

    for by in (made["image"]["id"], "early"):
        reply = await shop.order(by, "early")
        assert fields_of(reply) == ["image"]
        assert "it is creating" in reply.text
    await shop.owner.http.delete(f"/images/{made['image']['id']}")
    await shop.owner.ended(made)


async def test_what_the_store_lost_is_refused(shop: Shop) -> None:
    change = "UPDATE images SET status = %s WHERE id = %s"
    await shop.api.region.execute(change, "unavailable", shop.image["id"])

    reply = await shop.order("mine", "lost")
    await shop.api.region.execute(change, "available", shop.image["id"])

    assert fields_of(reply) == ["image"]
    assert "it is unavailable" in reply.text


async def test_it_stays_while_a_server_is_made_of_it(shop: Shop) -> None:
    owner = shop.owner
    image = await owner.bring_in(raw_disk(seed=42), name="needed")
    shop.api.region.host.inject(Fault("guests.host_key", when="hang", count=None))
    ordered = (await shop.order("needed", "slow")).json()

    refused = await owner.http.delete(f"/images/{image['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "resource_in_use")
    shop.api.region.host.clear()
    await owner.http.delete(f"/servers/{ordered['server']['id']}")
    await eventually(lambda: is_gone(shop, ordered["server"]["id"]))
    assert (await owner.http.delete(f"/images/{image['id']}")).status_code == 204
    assert await owner.image(image["id"]) is None


async def is_gone(shop: Shop, server_id: int) -> bool:
    return (await shop.api.http.get(f"/servers/{server_id}")).status_code == 404


async def test_a_server_that_runs_keeps_showing_an_image_that_is_gone(shop: Shop) -> None:
    image = await shop.owner.bring_in(raw_disk(seed=43), name="leaving")
    ordered = (await shop.order("leaving", "stays")).json()
    await shop.api.succeeded(ordered["action"]["id"])

    assert (await shop.owner.http.delete(f"/images/{image['id']}")).status_code == 204

    server = (await shop.api.http.get(f"/servers/{ordered['server']['id']}")).json()["server"]
    assert server["image"]["id"] == image["id"]
    assert fields_of(await shop.order("leaving", "too-late")) == ["image"]


async def test_a_protected_one_is_not_deleted_while_it_is_made_either(shop: Shop) -> None:
    made = await shop.owner.begin()
    path = f"/images/{made['image']['id']}"

    async def protect(on: bool) -> None:
        await shop.owner.http.post(f"{path}/actions/change_protection", json={"delete": on})

    await protect(True)
    refused = await shop.owner.http.delete(path)
    await protect(False)

    assert (refused.status_code, refused.json()["error"]["code"]) == (423, "protected")
    assert (await shop.owner.http.delete(path)).status_code == 204
    assert (await shop.owner.ended(made))["error"]["code"] == "image_deleted"


async def test_of_two_that_are_the_same_the_store_has_one(shop: Shop) -> None:
    content = raw_disk(seed=44)
    first, second = [await shop.owner.bring_in(content) for _ in range(2)]

    digest = await shop.owner.digest(first["id"])
    assert digest == await shop.owner.digest(second["id"])
    assert digest in await shop.owner.store.images()
