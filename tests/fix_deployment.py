"""A deployment: the API, a region worker and a host worker as processes of their own, as in production, to be killed.

They work for a region of `tests.fix_region`, on the session's PostgreSQL and Temporal, with a simulated host whose
state outlives its worker. A supervisor starts again whoever dies.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from infra.domain.models import Resources
from infra.drivers.simulated import Latencies
from tests.fix_region import ROOM, NewRegion, Region, eventually, host_key, host_path
from workers.processes import Process, Supervisor

ROOT = Path(__file__).parents[1]
ROLES = {"api": ("api",), "region": ("worker", "region"), "host": ("worker", "host")}


@dataclass
class Deployment:
    region: Region
    supervisor: Supervisor
    directory: Path
    url: str

    def process(self, role: str) -> Process:
        region, (host_id,) = self.region, self.region.hosts
        settings = region.settings
        env = {
            "STATE": settings.state,
            "LOCATION": region.location,
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "TEMPORAL_NAMESPACE": settings.temporal_namespace,
            "API_PORT": self.url.rsplit(":", 1)[1],
            "INTERNAL_URL": self.url,
            "RATE_LIMIT": 0,
            "SWEEP_AFTER": 2,
            "HOST": "simulated",
            "HOST_ID": host_id,
            "HOST_KEY": host_key(region, host_id),
            "HOST_PATH": host_path(self.directory, host_id),
        }
        return Process(
            name=role,
            argv=(sys.executable, "-m", "workers.cli", *ROLES[role]),
            log_path=self.directory / f"{role}.log",
            env={"PYTHONPATH": str(ROOT), **{f"PUCHIFY_{name}": str(value) for name, value in env.items()}},
            ready=self.answers if role == "api" else None,
        )

    async def start(self, *roles: str) -> None:
        for role in roles or ROLES:
            await self.supervisor.start(self.process(role))

    def kill(self, role: str) -> None:
        """kill -9; the supervisor starts it again."""
        os.kill(self.pid(role), signal.SIGKILL)

    def pid(self, role: str) -> int:
        return int((self.directory / "pids" / f"{role}.pid").read_text().split()[0])

    async def answers(self) -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{self.url}/healthz", timeout=2)).status_code == 200
        except httpx.TransportError:
            return False

    def client(self, **options: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.region.token}"}
        return httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=60, **options)

    async def order(self, name: str, key: str | None = None) -> httpx.Response:
        """POST a server, again and again with the same key until there is an answer, as a careful client does."""
        body = {"name": name, "server_type": "px1", "image": "tiny", "location": self.region.location}

        async def answer() -> httpx.Response | None:
            try:
                async with self.client() as http:
                    reply = await http.post("/servers", json=body, headers={"Idempotency-Key": key or name})
            except httpx.TransportError:
                return None
            return None if reply.status_code == 503 else reply

        reply = await eventually(answer, 120)
        assert isinstance(reply, httpx.Response)
        return reply


@pytest_asyncio.fixture
async def deployment(new_region: NewRegion, tmp_path: Path) -> AsyncIterator[Deployment]:
    """All three at work."""
    async with deployed(new_region, tmp_path) as deployment:
        await deployment.start()
        yield deployment


@pytest_asyncio.fixture
async def stopped_deployment(new_region: NewRegion, tmp_path: Path) -> AsyncIterator[Deployment]:
    """None of them at work yet."""
    async with deployed(new_region, tmp_path) as deployment:
        yield deployment


@asynccontextmanager
async def deployed(new_region: NewRegion, directory: Path, room: Resources = ROOM) -> AsyncIterator[Deployment]:
    async with (
        new_region(workers=False, latencies=Latencies(), room=room) as region,
        Supervisor(directory / "pids", print) as supervisor,
    ):
        yield Deployment(region, supervisor, directory, f"http://127.0.0.1:{_free_port()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
