"""The floor: ProvisionServer's story told in bare Temporal, same steps in the same order, none of which does anything.

What it takes is what Temporal takes for a story of that shape; whatever Puchify takes beyond it is Puchify's own. The
payloads are plain JSON of the same fields. A test compares its history with ProvisionServer's, event by event.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

Value = dict[str, Any]

LOCAL_STEPS = ("reserve_quota", "place_server", "assign_addresses", "finish")
REGION_STEPS = ("publish_dns", "register_targets")
HOST_STEPS = (
    *("ensure_image", "create_disk", "write_seed", "attach_ports"),
    *("define_machine", "start_machine", "wait_ready"),
)
HOST_QUEUE = "bench-floor-host"
REGION_QUEUE = "bench-floor-region"

PHASE = SearchAttributeKey.for_keyword("Phase")
HOST_ID = SearchAttributeKey.for_keyword("HostId")


@workflow.defn(name="Floor")
class Floor:
    def __init__(self) -> None:
        self._admission: Value | None = None

    @workflow.update
    async def admit(self) -> Value:
        await workflow.wait_condition(lambda: self._admission is not None)
        assert self._admission is not None
        return self._admission

    @workflow.run
    async def run(self, order: Value) -> None:
        work = asyncio.create_task(self.provision(order))
        await workflow.wait_condition(work.done, timeout=900, timeout_summary="deadline")
        await local("finish", work.result())
        workflow.upsert_search_attributes([PHASE.value_set("running")])

    async def provision(self, order: Value) -> Value:
        await local("reserve_quota", order)
        claim = await local("place_server", {"order": order, "excluded_hosts": []})
        addresses = await local("assign_addresses", order)
        workflow.upsert_search_attributes([PHASE.value_set("deploying"), HOST_ID.value_set(str(claim["host_id"]))])
        self._admission = {"addresses": addresses, "refused": None}
        machine = machine_of(order, claim, addresses)
        late = asyncio.gather(*(region(step, order) for step in REGION_STEPS))
        await asyncio.gather(self.prepare_disk(machine), host("attach_ports", machine))
        await host("define_machine", machine)
        await host("start_machine", machine)
        readiness = await host("wait_ready", machine, beat=10)
        await late
        return {"order": order, "claim": claim, "readiness": readiness}

    async def prepare_disk(self, machine: Value) -> None:
        await host("ensure_image", machine, beat=10)
        await asyncio.gather(host("create_disk", machine), host("write_seed", machine))


async def local(name: str, value: Value) -> Any:
    return await workflow.execute_local_activity(
        name,
        value,
        start_to_close_timeout=timedelta(seconds=20),
        schedule_to_close_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_interval=timedelta(seconds=10)),
    )


async def region(name: str, value: Value) -> Any:
    return await workflow.execute_activity(
        name,
        value,
        start_to_close_timeout=timedelta(seconds=20),
        schedule_to_close_timeout=timedelta(seconds=120),
        retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
    )


async def host(name: str, value: Value, beat: float | None = None) -> Any:
    return await workflow.execute_activity(
        name,
        value,
        task_queue=HOST_QUEUE,
        schedule_to_start_timeout=timedelta(seconds=60),
        start_to_close_timeout=timedelta(seconds=60),
        schedule_to_close_timeout=timedelta(seconds=120),
        heartbeat_timeout=timedelta(seconds=beat) if beat else None,
        retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10), maximum_attempts=3),
    )


def machine_of(order: Value, claim: Value, addresses: Value) -> Value:
    """The fields of infra.domain.models.Machine, for payloads of the same size."""
    same = ("server_id", "name", "resources", "image")
    return {**{key: order[key] for key in same}, **claim, "addresses": addresses}
