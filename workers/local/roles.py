"""Puchify's own processes on this machine: the API and its workers, and when each is ready."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from infra.config import Settings
from infra.temporal.names import edge_queue, host_queue, region_queue
from infra.trust import trust_of
from workers.local.place import Place, environment
from workers.processes import Process

PATIENCE = 60.0  # seconds; a process imports for one or two, on a loaded machine for ten


def api_process(settings: Settings, place: Place) -> Process:
    return _process("api", ("api",), settings, place, answers(f"{settings.internal_url}/healthz", settings))


def region_process(settings: Settings, place: Place, client: Client) -> Process:
    ready = polls(client, region_queue(settings.location), place.pid_file("region"))
    return _process("region", ("worker", "region"), settings, place, ready)


def host_process(settings: Settings, place: Place, client: Client) -> Process:
    ready = polls(client, host_queue(settings.host_id), place.pid_file("host"))
    return _process("host", ("worker", "host"), settings, place, ready)


def edge_process(settings: Settings, place: Place, client: Client) -> Process:
    ready = polls(client, edge_queue(settings.edge_id), place.pid_file("edge"))
    return _process("edge", ("worker", "edge"), settings, place, ready)


def _process(
    name: str, words: tuple[str, ...], settings: Settings, place: Place, ready: Callable[[], Awaitable[bool]]
) -> Process:
    return Process(
        name=name,
        # The module, not the script: it is found whatever PATH is, and in a checkout that is not installed as well.
        argv=(sys.executable, "-m", "workers.cli", *words),
        log_path=place.log(name),
        env={**environment(settings, name), "PYTHONPATH": str(Path(__file__).parents[2])},
        ready=ready,
        ready_timeout=PATIENCE,
    )


def answers(url: str, settings: Settings) -> Callable[[], Awaitable[bool]]:
    """Whether something of ours at ``url`` says 200."""

    async def ready() -> bool:
        # No proxy on the way to ourselves.
        async with httpx.AsyncClient(trust_env=False, timeout=5, verify=trust_of(settings)) as client:
            try:
                return (await client.get(url)).status_code == 200
            except httpx.TransportError:
                return False

    return ready


def polls(client: Client, queue: str, pid_file: Path) -> Callable[[], Awaitable[bool]]:
    """Whether the process of ``pid_file`` asks for work on ``queue``: Temporal remembers pollers by their pid."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )

    async def ready() -> bool:
        try:
            described = await client.workflow_service.describe_task_queue(request)
            pid = pid_file.read_text().split()[0]  # noqa: ASYNC240  a few bytes in the page cache
        except (RPCError, FileNotFoundError):
            return False
        return any(poller.identity.startswith(f"{pid}@") for poller in described.pollers)

    return ready
