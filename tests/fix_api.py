"""The API at work for a region: on a real socket, in the test's own process, with the region's workers behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import hcloud
import httpx
import pytest
import pytest_asyncio
import uvicorn
from starlette.routing import BaseRoute

from api.app import create_app
from infra.catalog.file import read
from infra.catalog.source import Source
from infra.config import Settings
from infra.db.catalog.applying import apply
from infra.temporal.cluster import TemporalCluster
from tests.fix_region import NewRegion, Region, eventually, open_region, region_settings
from tests.fix_stack import NewDatabase, NewNamespace
from workers.listening import tls_options


@dataclass
class Api:
    """``http`` speaks with the region's own token; ``url`` is for other clients."""

    region: Region
    url: str
    http: httpx.AsyncClient

    async def create(self, name: str = "web", **wishes: Any) -> httpx.Response:
        body = {"name": name, "server_type": "px1", "image": "tiny", "location": self.region.location}
        return await self.http.post("/servers", content=json.dumps({**body, **wishes}))

    @property
    def hcloud(self) -> hcloud.Client:
        """hcloud-python as its users have it; it blocks, so ask it in a thread."""
        return hcloud.Client(token=self.region.token, api_endpoint=f"{self.url}/api/v1", poll_interval=0.1)

    async def network_zone(self) -> str:
        """That of the region's location."""
        (place,) = (await self.listed("/locations", name=self.region.location))["locations"]
        return str(place["network_zone"])

    async def offer(self, catalog: str) -> None:
        """What `puchify catalog apply --yes` does, while the API runs."""
        async with self.region.pool.connection() as connection:
            await apply(connection, read(Source(catalog, "catalog.yaml")))

    async def listed(self, path: str, **query: Any) -> dict[str, Any]:
        reply = await self.http.get(path, params=query)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def succeeded(self, action_id: int) -> dict[str, Any]:
        """The action, once it has ended; it has to have ended well."""

        async def ended() -> dict[str, Any] | None:
            action = (await self.http.get(f"/actions/{action_id}")).json()["action"]
            return None if action["status"] == "running" else action

        action: dict[str, Any] = await eventually(ended)
        assert action["status"] == "success", action
        return action

    async def unlocked(self, server_id: int) -> bool:
        """Whether no action works on the server: soon after one has ended, not with it."""
        return not (await self.http.get(f"/servers/{server_id}")).json()["server"]["locked"]


@pytest_asyncio.fixture
async def api(new_region: NewRegion) -> AsyncIterator[Api]:
    async with new_region() as region, serving_api(region) as api:
        yield api


@pytest_asyncio.fixture(scope="module")
async def module_api(module_region: NewRegion) -> AsyncIterator[Api]:
    """One API for a module whose tests do not mind each other's things."""
    async with module_region() as region, serving_api(region) as api:
        yield api


@pytest_asyncio.fixture(scope="module")
async def installation(
    new_database: NewDatabase,
    new_namespace: NewNamespace,
    temporal: TemporalCluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Api]:
    """An API on books of a module's own: nobody else sees what becomes of its catalog."""
    directory = tmp_path_factory.mktemp("installation")
    async with new_database() as url:
        settings = region_settings(url, temporal, directory)
        ours = settings.model_copy(update={"temporal_namespace": await new_namespace()})
        async with open_region(ours, directory) as region, serving_api(region) as api:
            yield api


@asynccontextmanager
async def serving_api(region: Region) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {region.token}"}
    async with (
        serving(region.settings) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=60) as http,
    ):
        yield Api(region, url, http)


@cache
def built_routes() -> list[BaseRoute]:
    """Those of every API of the session: they are the same, and building them takes seconds."""
    return create_app(Settings()).router.routes


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """The API's address. With TLS where the settings have a certificate."""
    app = create_app(settings)
    app.router.routes = built_routes()
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="on", **tls_options(settings))
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn offers nothing else to wait for
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"{'https' if settings.api_tls_cert else 'http'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
