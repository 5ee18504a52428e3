"""The two that are compared: Puchify, asked over HTTP as by any caller, and the floor, asked as the API asks it."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from temporalio.client import Client

from infra.temporal.names import delete_id, provision_id
from tests.bench import floor
from tests.bench.stack import Bench
from tests.bench.trace import Run
from tests.bench.watch import first_banner

PATIENCE = 600.0
"""Seconds that a story may take: fifty emulated guests that boot at once on two cores need minutes."""


class Subject(Protocol):
    async def create(self) -> Run:
        """Ask, and wait until the story has ended well."""

    async def remove(self, runs: Sequence[Run]) -> None: ...


@dataclass
class Puchify:
    bench: Bench
    image: str = "tiny"
    server_type: str = "px1"
    _names: itertools.count[int] = field(default_factory=itertools.count)
    _prefix: str = field(default_factory=lambda: f"b{secrets.token_hex(3)}")

    async def create(self) -> Run:
        body = {
            "name": f"{self._prefix}-{next(self._names)}",
            "server_type": self.server_type,
            "image": self.image,
            "location": self.bench.settings.location,
        }
        sent = datetime.now(UTC)
        begun = time.perf_counter()
        reply = await self.bench.http.post("/servers", json=body)
        answered = (time.perf_counter() - begun) * 1000
        if reply.is_error:
            raise RuntimeError(f"the API refused a create: {reply.status_code} {reply.text}")
        server_id = int(reply.json()["server"]["id"])
        workflow_id = provision_id(server_id)
        address = reply.json()["server"]["public_net"]["ipv4"]["ip"]
        real = self.bench.settings.host == "libvirt"
        watching = asyncio.create_task(first_banner(address)) if real else None
        try:
            await ended(self.bench.client, workflow_id)
            seen = watching.result() if watching and watching.done() else None
            return Run(server_id, workflow_id, sent, answered, seen)
        finally:
            if watching:
                watching.cancel()

    async def remove(self, runs: Sequence[Run]) -> None:
        await in_parallel(10, [partial(self._remove, run) for run in runs])

    async def _remove(self, run: Run) -> None:
        reply = await self.bench.http.delete(f"/servers/{run.server_id}")
        reply.raise_for_status()
        await ended(self.bench.client, delete_id(run.server_id))


@dataclass
class BareTemporal:
    client: Client
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(secrets.randbelow(1 << 40)))

    async def create(self) -> Run:
        server_id = next(self._ids)
        sent = datetime.now(UTC)
        begun = time.perf_counter()
        await floor.admit(self.client, server_id)
        run = Run(server_id, floor.workflow_id(server_id), sent, (time.perf_counter() - begun) * 1000)
        await ended(self.client, run.workflow_id)
        return run

    async def remove(self, runs: Sequence[Run]) -> None:
        """A story that has ended holds nothing."""


async def ended(client: Client, workflow_id: str) -> None:
    """WorkflowFailureError: not well. TimeoutError: not at all."""
    async with asyncio.timeout(PATIENCE):
        await client.get_workflow_handle(workflow_id).result()


async def in_parallel(width: int, jobs: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Do all jobs, ``width`` at a time; the next begins when one ends."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(work())
