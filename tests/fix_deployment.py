"""A deployment: APIs, region workers and host workers as processes of their own, as in production, to be killed.

They work for a region of `tests.fix_region`, on the session's PostgreSQL and Temporal, with simulated hosts whose
state outlives their workers. A supervisor starts again whoever dies.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from infra.domain.models import Resources
from infra.drivers.simulated import Latencies
from infra.temporal.names import host_queue, region_queue
from tests.fix_region import ROOM, NewRegion, Region, eventually, host_key, host_path
from workers.processes import Process, Supervisor

ROOT = Path(__file__).parents[1]
ROLES = {"api": ("api",), "region": ("worker", "region"), "host": ("worker", "host")}


@dataclass
class Deployment:
    """``urls``: one of each API. A host asks the API of its number, as if a load balancer had sent it there.

    ``settings``: of all its processes, on top of the region's.
    """

    region: Region
    supervisor: Supervisor
    directory: Path
    urls: list[str]
    region_workers: int = 1
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def crew(self) -> dict[str, list[str]]:
        """The names of each role's processes: ``api``, ``api-2``, and so on."""
        sizes = {"api": len(self.urls), "region": self.region_workers, "host": len(self.region.hosts)}
        return {role: [role, *(f"{role}-{n}" for n in range(2, sizes[role] + 1))] for role in ROLES}

    def process(self, name: str) -> Process:
        role, index = _role(name)
        url = self.urls[index % len(self.urls)]
        env = self._environment(url) | (self._of_host(index) if role == "host" else {})
        return Process(
            name=name,
            argv=(sys.executable, "-m", "workers.cli", *ROLES[role]),
            log_path=self.directory / f"{name}.log",
            env={"PYTHONPATH": str(ROOT), **{f"PUCHIFY_{key}": str(value) for key, value in env.items()}},
            ready=(lambda: self.answers(url)) if role == "api" else None,
        )

    def _environment(self, url: str) -> dict[str, object]:
        settings = self.region.settings
        return {
            "STATE": settings.state,
            "LOCATION": self.region.location,
            "DATABASE_URL": settings.database_url,
            "TEMPORAL_ADDRESS": settings.temporal_address,
            "TEMPORAL_NAMESPACE": settings.temporal_namespace,
            "API_PORT": url.rsplit(":", 1)[1],
            "INTERNAL_URL": url,
            "RATE_LIMIT": 0,
            "IMAGE_STORE": settings.image_store,
            "SWEEP_AFTER": 2,
            "ADDRESS_REST": settings.address_rest,
            "IMAGE_SCRATCH": settings.image_scratch,
            "GUEST_PATIENCE": settings.guest_patience,
            "DNS_API_URL": settings.dns_api_url,
            "DNS_API_KEY": settings.dns_api_key,
            **self.settings,
        }

    def _of_host(self, index: int) -> dict[str, object]:
        host_id = list(self.region.hosts)[index]
        return {
            "HOST": "simulated",
            "HOST_ID": host_id,
            "HOST_KEY": host_key(self.region, host_id),
            "HOST_PATH": host_path(self.directory, host_id),
        }

    async def start(self, *roles: str) -> None:
        for role in roles or ROLES:
            for name in self.crew[role]:
                await self.supervisor.start(self.process(name))

    def kill(self, name: str) -> None:
        """kill -9; the supervisor starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def pid(self, name: str) -> int:
        return int((self.directory / "pids" / f"{name}.pid").read_text().split()[0])

    async def serves(self, name: str) -> bool:
        """Whether the process that has this name now does its work: the API answers, a worker asks for steps."""
        role, index = _role(name)
        if role == "api":
            return await self.answers(self.urls[index])
        ours = f"{self.pid(name)}@"
        return any(identity.startswith(ours) for identity in await self._polling(role, index))

    async def answers(self, url: str) -> bool:
        """The API does, and what stands behind it."""
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{url}/healthz", timeout=5)).status_code == 200
        except httpx.TransportError:
            return False

    async def _polling(self, role: str, index: int) -> list[str]:
        """Who polls the queue of that role, as <pid>@<machine>."""
        client = self.region.client
        queue = region_queue(self.region.location) if role == "region" else host_queue(list(self.region.hosts)[index])
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        try:
            found = await client.workflow_service.describe_task_queue(request, timeout=timedelta(seconds=2))
        except RPCError:
            return []
        return [poller.identity for poller in found.pollers]

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

        reply = await eventually(answer)
        assert isinstance(reply, httpx.Response)
        return reply


@pytest_asyncio.fixture
async def deployment(stopped_deployment: Deployment) -> Deployment:
    """All three at work, so that what is killed had begun."""
    await stopped_deployment.start()
    for name in itertools.chain(*stopped_deployment.crew.values()):
        await eventually(partial(stopped_deployment.serves, name))
    return stopped_deployment


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
        yield Deployment(region, supervisor, directory, [free_url()])


def free_url() -> str:
    """At a port below those that the system gives to clients: while the API is dead, nobody else gets it."""
    while True:
        port = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return f"http://127.0.0.1:{port}"


def _role(name: str) -> tuple[str, int]:
    """The role of a process, and its place among those of that role."""
    role, _, number = name.partition("-")
    return role, int(number or 1) - 1
