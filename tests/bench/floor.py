"""The floor's workers and its client: two processes beside ours, with the SDK's own defaults.

No plugin, no interceptor, the default data converter, the default sandbox; activities that return a value at once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.worker import Worker

from infra.config import Settings
from infra.domain.models import Addresses, Claim, Image, Readiness, Resources, ServerOrder
from infra.temporal.names import LOCATION, PROJECT_ID, SERVER_ID
from tests.bench.floor_story import HOST_QUEUE, HOST_STEPS, LOCAL_STEPS, REGION_QUEUE, REGION_STEPS, Floor, Value
from workers.serve import Role, serve

ANSWERS: dict[str, Value] = {
    "place_server": asdict(Claim(server_id=1000, host_id=1, epoch=1)),
    "assign_addresses": asdict(Addresses("10.20.30.40", "2001:db8:1:1::/64")),
    "wait_ready": asdict(Readiness(host_key="ssh-ed25519 " + "A" * 68, agent=True)),
}


def order(server_id: int) -> ServerOrder:
    image = Image(1, "tiny", "a" * 64, "x86", disk_gib=1, has_agent=True)
    return ServerOrder(server_id, 1000, 1001, 1, 1, f"bench-{server_id}", "bench", Resources(1, 256, 2), image)


def workflow_id(server_id: int) -> str:
    return f"floor-{server_id}"


async def admit(client: Client, server_id: int) -> Any:
    """Begin a story and wait for its admission, as the API does it."""
    same = order(server_id)
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "Floor",
        asdict(same),
        id=workflow_id(server_id),
        task_queue=REGION_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(SERVER_ID, str(server_id)),
                SearchAttributePair(PROJECT_ID, str(same.project_id)),
                SearchAttributePair(LOCATION, same.location),
            ]
        ),
        static_summary=f"{same.name} · 1 cores, 256 MiB · tiny",
    )
    return await client.execute_update_with_start_workflow(
        "admit", start_workflow_operation=start, id=f"admit-{server_id}", result_type=dict
    )


async def run_region(settings: Settings, stop: asyncio.Event) -> None:
    client = await connect(settings)
    steps = no_ops((*LOCAL_STEPS, *REGION_STEPS))
    async with Worker(client, task_queue=REGION_QUEUE, workflows=[Floor], activities=steps):
        await stop.wait()


async def run_host(settings: Settings, stop: asyncio.Event) -> None:
    client = await connect(settings)
    slots = settings.host_slots
    steps = no_ops(HOST_STEPS)
    async with Worker(client, task_queue=HOST_QUEUE, activities=steps, max_concurrent_activities=slots):
        await stop.wait()


async def connect(settings: Settings) -> Client:
    return await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)


def no_ops(names: tuple[str, ...]) -> list[Callable[..., Any]]:
    return [_no_op(name) for name in names]


def _no_op(name: str) -> Callable[..., Any]:
    answer = ANSWERS.get(name)

    @activity.defn(name=name)
    async def step(value: Value) -> Value | None:
        return answer

    return step


ROLES: dict[str, Role] = {"floor-region": run_region, "floor-host": run_host}

if __name__ == "__main__":
    serve(ROLES[sys.argv[1]])
