"""The names by which the stories are found: workflow ids, task queues, search attributes.

One id per server and operation, so that Temporal itself refuses a second one. Operators search by the attributes.
"""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

from infra.domain.changes import Change
from infra.domain.imports import CREATE_IMAGE

SERVER_ID = SearchAttributeKey.for_keyword("ServerId")
PROJECT_ID = SearchAttributeKey.for_keyword("ProjectId")
HOST_ID = SearchAttributeKey.for_keyword("HostId")
LOCATION = SearchAttributeKey.for_keyword("Location")
PHASE = SearchAttributeKey.for_keyword("Phase")
FAILURE_CODE = SearchAttributeKey.for_keyword("FailureCode")


def provision_id(server_id: int) -> str:
    return f"server-{server_id}-provision"


def delete_id(server_id: int) -> str:
    return f"server-{server_id}-delete"


def import_id(image_id: int) -> str:
    return f"image-{image_id}-import"


def change_id(change: Change) -> str:
    if change.command == CREATE_IMAGE and change.resource.type == "image":
        return import_id(change.resource.id)
    return f"{change.resource.type}-{change.resource.id}-{change.command}-{change.action_id}"


def sweep_id(location: str) -> str:
    return f"sweep-orders-{location}"


def audit_id(location: str) -> str:
    return f"audit-region-{location}"


def care_id(location: str) -> str:
    return f"image-care-{location}"


def region_queue(location: str) -> str:
    return f"region.{location}"


def host_queue(host_id: int) -> str:
    return f"host.{host_id}"


def edge_queue(edge_id: int) -> str:
    return f"edge.{edge_id}"
