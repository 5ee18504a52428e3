"""How a story is begun, by the API that took the order or by the sweep: the same id, queue, attributes and policy.

A create's id is used once: whoever comes second finds the story that runs, or learns that it has ended.
"""

from __future__ import annotations

from typing import Any, TypedDict

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from infra.domain.changes import Change
from infra.domain.models import DeleteOrder, ServerOrder
from infra.domain.power import POWER
from infra.temporal.names import (
    LOCATION,
    PROJECT_ID,
    SERVER_ID,
    change_id,
    delete_id,
    import_id,
    provision_id,
    region_queue,
)


class _Start(TypedDict):
    id: str
    task_queue: str
    static_summary: str
    search_attributes: TypedSearchAttributes
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy


def provision(order: ServerOrder) -> WithStartWorkflowOperation[Any, Any]:
    """For an update-with-start: begin the create unless it has begun."""
    return WithStartWorkflowOperation("ProvisionServer", order, **_provision(order))


async def begin_provision(client: Client, order: ServerOrder) -> None:
    """WorkflowAlreadyStartedError: it has begun, and perhaps ended."""
    await client.start_workflow("ProvisionServer", order, **_provision(order))


async def begin_delete(client: Client, order: DeleteOrder) -> None:
    """WorkflowAlreadyStartedError: it has ended."""
    await client.start_workflow("DeleteServer", order, **_delete(order))


async def begin_change(client: Client, change: Change) -> None:
    """WorkflowAlreadyStartedError: it has ended."""
    await client.start_workflow(_story(change), change, **_change(change))


def _story(change: Change) -> str:
    if change.command in POWER:
        return "PowerServer"
    return "ImportImage" if change_id(change) == import_id(change.resource.id) else "ChangeResource"


def _provision(order: ServerOrder) -> _Start:
    size = f"{order.resources.cores} cores, {order.resources.memory_mib} MiB"
    summary = f"{order.name[:60]} · {size} · {order.image.name}"
    return _start(order, provision_id(order.server_id), summary, WorkflowIDReusePolicy.REJECT_DUPLICATE)


def _delete(order: DeleteOrder) -> _Start:
    # One that an operator ended by force left the server as it was: it is begun anew.
    anew = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
    return _start(order, delete_id(order.server_id), f"delete server {order.server_id}", anew)


def _change(change: Change) -> _Start:
    anew = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY  # as above
    about = change.resource
    return _start(change, change_id(change), f"{change.command} · {about.type} {about.id}", anew)


def _start(
    order: ServerOrder | DeleteOrder | Change, workflow_id: str, summary: str, reuse: WorkflowIDReusePolicy
) -> _Start:
    attributes = [
        SearchAttributePair(PROJECT_ID, str(order.project_id)),
        SearchAttributePair(LOCATION, order.location),
    ]
    if (server_id := _server_of(order)) is not None:
        attributes.append(SearchAttributePair(SERVER_ID, str(server_id)))
    return _Start(
        id=workflow_id,
        task_queue=region_queue(order.location),
        static_summary=summary,
        search_attributes=TypedSearchAttributes(attributes),
        id_reuse_policy=reuse,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


def _server_of(order: ServerOrder | DeleteOrder | Change) -> int | None:
    if not isinstance(order, Change):
        return order.server_id
    return order.resource.id if order.resource.type == "server" else None
