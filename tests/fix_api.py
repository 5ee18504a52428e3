"""The API at work for a region: on a real socket, in the test's own process, with the region's workers behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
import uvicorn

from api.app import create_app
from infra.config import Settings
from tests.fix_region import NewRegion, Region, eventually


@dataclass
class Api:
    """``http`` speaks with the region's own token; ``url`` is for other clients."""

    region: Region
    url: str
    http: httpx.AsyncClient

    async def create(self, name: str = "web", **wishes: Any) -> httpx.Response:
        body = {"name": name, "server_type": "px1", "image": "tiny", "location": self.region.location}
        return await self.http.post("/servers", content=json.dumps({**body, **wishes}))

    async def succeeded(self, action_id: int) -> dict[str, Any]:
        """The action, once it has ended; it has to have ended well."""

        async def ended() -> dict[str, Any] | None:
            action = (await self.http.get(f"/actions/{action_id}")).json()["action"]
            return None if action["status"] == "running" else action

        action: dict[str, Any] = await eventually(ended)
        assert action["status"] == "success", action
        return action


@pytest_asyncio.fixture
async def api(new_region: NewRegion) -> AsyncIterator[Api]:
    async with new_region() as region, serving_api(region) as api:
        yield api


@pytest_asyncio.fixture(scope="module")
async def module_api(module_region: NewRegion) -> AsyncIterator[Api]:
    """One API for a module whose tests do not mind each other's things."""
    async with module_region() as region, serving_api(region) as api:
        yield api


@asynccontextmanager
async def serving_api(region: Region) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {region.token}"}
    async with (
        serving(region.settings) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=60) as http,
    ):
        yield Api(region, url, http)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """The API's address."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning", lifespan="on"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn offers nothing else to wait for
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
