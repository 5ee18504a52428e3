"""Record the histories that every later change is replayed against: ``make histories`` writes them anew.

Not collected with the tests: a history is recorded once, when a story changes on purpose, and committed with it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError

from api.stories import Stories
from infra.db import orders
from infra.domain.changes import Change
from infra.domain.models import Resources
from infra.drivers.edges import SimulatedEdge
from infra.drivers.simulated import Fault, Latencies
from infra.temporal.names import change_id, delete_id, provision_id
from tests.edge.regional import working_edge
from tests.faults.surroundings import surrounded
from tests.fix_api import serving_api
from tests.fix_region import NewRegion, Region, eventually
from tests.imports.disks import raw_disk
from tests.imports.fix_imports import deliver, order_import
from tests.workflows.test_change_resource import RULES, firewall_for_all, set_rules

DISK = raw_disk()
HISTORIES = Path(__file__).parent / "histories"


async def success(region: Region) -> str:
    return provision_id((await region.create()).server_id)


async def success_with_an_edge(region: Region) -> str:
    async with (
        serving_api(region) as api,
        surrounded(region, api.http) as known,
        working_edge(region, known, SimulatedEdge()),
    ):
        return await success(region)


async def refused_by_quota(region: Region) -> str:
    await region.set_quota(max_servers=0)
    return await _failed(region)


async def refused_for_want_of_a_host(region: Region) -> str:
    await region.execute("UPDATE hosts SET state = 'cordoned' WHERE location_id = %s", region.location_id)
    return await _failed(region)


async def refused_for_want_of_an_address(region: Region) -> str:
    await region.execute("DELETE FROM address_pools WHERE location_id = %s AND type = 'ipv6'", region.location_id)
    return await _failed(region)


async def withdrawn(region: Region) -> str:
    order = await region.order()
    async with region.pool.connection() as connection:
        await orders.withdraw(connection, order.server_id)
    await region.admit(order)
    await region.ended(order)
    return provision_id(order.server_id)


async def compensation(region: Region) -> str:
    region.host.inject(Fault("machines.start", when="after", error="ImageUnusable", count=None))
    return await _failed(region)


async def a_branch_fails_while_the_other_works(region: Region) -> str:
    region.host.inject(Fault("ports.attach", error="ImageUnusable", count=None))
    return await _failed(region)


async def a_second_host(region: Region) -> str:
    region.host.inject(Fault("disks.create", error="HostFull", count=None))
    return provision_id((await region.create()).server_id)


async def delete(region: Region) -> str:
    order = await region.create()
    await region.delete(order)
    return delete_id(order.server_id)


async def delete_during_create(region: Region) -> str:
    region.host.inject(Fault("guests.host_key", when="hang", count=None))
    order = await region.order()
    await region.admit(order)
    await eventually(lambda: _polled(region))
    await region.delete(order)
    return provision_id(order.server_id)


async def reset(region: Region) -> str:
    return await _commanded(region, "reset_server")


async def reboot(region: Region) -> str:
    return await _commanded(region, "reboot_server")


async def stop_that_fails_once(region: Region) -> str:
    region.host.inject(Fault("machines.destroy", when="after", error="HostFull"))
    return await _commanded(region, "stop_server")


async def shutdown_that_is_obeyed_late(region: Region) -> str:
    order = await region.create()
    change = await region.command(order, "shutdown_server")
    await eventually(lambda: _succeeded(region, change.action_id))
    region.host.power_off(order.server_id)
    await region.client.get_workflow_handle(change_id(change)).result()
    return change_id(change)


async def image_imported(region: Region) -> str:
    change = await order_import(region, size=len(DISK))
    await Stories(region.client).begin_change(change)
    await eventually(lambda: _waits(region, change))
    await deliver(region, change, DISK)
    return await _imported(region, change)


async def image_refused(region: Region) -> str:
    change = await order_import(region, sha256="0" * 64)
    await deliver(region, change, DISK)
    await Stories(region.client).begin_change(change)
    return await _imported(region, change)


async def image_deleted_meanwhile(region: Region) -> str:
    change = await order_import(region)
    await Stories(region.client).begin_change(change)
    await eventually(lambda: _waits(region, change))
    await Stories(region.client).tell_import(change.resource.id, "abandon")
    return await _imported(region, change)


async def rules_of_many(region: Region) -> str:
    for _ in range(3):
        await region.create(start=False)
    return await _rules_changed(region)


async def rules_past_a_host_that_fails(region: Region) -> str:
    await region.create(start=False)
    region.host.inject(Fault("ports.attach", error="HostFull"))
    return await _rules_changed(region)


async def rules_page_by_page(region: Region) -> str:
    """The last page of them."""
    with patch("infra.db.affected.PAGE", 2):
        return await rules_of_many(region)


async def rules_of_the_first_page(region: Region) -> str:
    return await rules_page_by_page(region)


FIRST_RUNS = {"rules_of_the_first_page"}
"""Scenes whose story went on in further histories, and of which the first one is recorded."""

PACES = {"shutdown_that_is_obeyed_late": Latencies(shut_down=3600.0)}
"""Of the hosts, where a scene takes others."""

SCENES: dict[str, Callable[[Region], Awaitable[str]]] = {
    scene.__name__: scene
    for scene in (
        success,
        success_with_an_edge,
        refused_by_quota,
        refused_for_want_of_a_host,
        refused_for_want_of_an_address,
        withdrawn,
        compensation,
        a_branch_fails_while_the_other_works,
        a_second_host,
        delete,
        delete_during_create,
        reset,
        reboot,
        stop_that_fails_once,
        shutdown_that_is_obeyed_late,
        rules_of_many,
        rules_page_by_page,
        rules_of_the_first_page,
        rules_past_a_host_that_fails,
        image_imported,
        image_refused,
        image_deleted_meanwhile,
    )
}


@pytest.mark.parametrize("scene", SCENES)
async def test_record(new_region: NewRegion, scene: str) -> None:
    async with new_region(2, latencies=PACES.get(scene, Latencies()), room=Resources(16, 16_384, 100)) as region:
        workflow_id = await SCENES[scene](region)
        history = await region.client.get_workflow_handle(workflow_id).fetch_history()
        if scene in FIRST_RUNS:
            began = history.events[0].workflow_execution_started_event_attributes
            first = region.client.get_workflow_handle(workflow_id, run_id=began.first_execution_run_id)
            history = await first.fetch_history()
        (HISTORIES / f"{scene}.json").write_text(untraced(history.to_json()))


def untraced(history: str) -> str:
    """Without stack traces: a replay asks for none, and they tell where the recording machine keeps things."""

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(one) for one in value]
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if key != "stackTrace"}
        return value

    return json.dumps(without(json.loads(history)), indent=2)


async def _failed(region: Region) -> str:
    order = await region.order()
    await region.admit(order)
    assert await region.ended(order) is not None
    return provision_id(order.server_id)


async def _commanded(region: Region, command: str) -> str:
    order = await region.create()
    change = await region.command(order, command)
    await region.client.get_workflow_handle(change_id(change)).result()
    return change_id(change)


async def _rules_changed(region: Region) -> str:
    change = await set_rules(region, await firewall_for_all(region), *RULES[:2])
    await region.client.get_workflow_handle(change_id(change)).result()
    return change_id(change)


async def _imported(region: Region, change: Change) -> str:
    with suppress(WorkflowFailureError):
        await region.client.get_workflow_handle(change_id(change)).result()
    return change_id(change)


async def _waits(region: Region, change: Change) -> bool:
    """For the upload, by a timer."""
    history = await region.client.get_workflow_handle(change_id(change)).fetch_history()
    return any(event.event_type == EventType.EVENT_TYPE_TIMER_STARTED for event in history.events[-1:])


async def _succeeded(region: Region, action_id: int) -> bool:
    return await region.one("SELECT FROM actions WHERE id = %s AND status = 'success'", action_id) is not None


async def _polled(region: Region) -> bool:
    return any(call.call == "guests.host_key" for call in region.host.calls())
