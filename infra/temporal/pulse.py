"""The pulse: every worker tells Temporal every few seconds that it lives, busy or not.

Temporal keeps the last sign of each worker in memory, by its task queue; after its own restart it knows none until the
next one. (Server 1.30 and newer; the SDK's worker heartbeats.)
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.workflowservice.v1 import ListWorkersRequest
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig

MOST = 100  # workers of one queue: those that ended are remembered for a while


@cache
def runtime(pulse: float) -> Runtime:
    """The process's one runtime; each has threads of its own."""
    return Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=pulse))


async def newest(client: Client, queue: str) -> float:
    """When a worker of the queue gave its newest sign of life, by its own clock, in seconds; 0: none is known."""
    found = await client.workflow_service.list_workers(
        ListWorkersRequest(namespace=client.namespace, page_size=MOST, query=f'TaskQueue="{queue}"')
    )
    signs = [info.worker_heartbeat for info in found.workers_info]
    running = [sign for sign in signs if sign.status == WorkerStatus.WORKER_STATUS_RUNNING]
    return max((sign.heartbeat_time.ToNanoseconds() / 1e9 for sign in running), default=0.0)
