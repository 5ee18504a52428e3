"""The audit puts right what nobody else can: stories that an operator killed, and those that are stuck."""

from __future__ import annotations

import uuid

import pytest
from temporalio.exceptions import ApplicationError

from infra.domain.models import Audited, ServerOrder
from infra.drivers.simulated import Fault
from infra.temporal.names import delete_id, provision_id, region_queue
from tests.fix_region import Region, eventually, held
from tests.workflows.test_provision_server import HOST_STEPS
from workflows.audit_region import AuditRegion
from workflows.sweep_orders import SweepOrders


async def audit(region: Region) -> Audited:
    """What it found here: names are all regions' (those of the session's other tests, too), and every audit's."""
    name = f"audit-{uuid.uuid4().hex}"
    audited = await region.client.execute_workflow(
        AuditRegion.run, region.location, id=name, task_queue=region_queue(region.location)
    )
    return Audited(*(_without_names(counts) for counts in (audited.leaks, audited.pending, audited.healed)))


def _without_names(counts: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if kind not in ("names", "names_due")}


async def sweep(region: Region) -> int:
    name = f"sweep-{uuid.uuid4().hex}"
    return await region.client.execute_workflow(
        SweepOrders.run, region.location, id=name, task_queue=region_queue(region.location)
    )


async def a_day_passes(region: Region) -> None:
    """For every order of the region, and for the audit."""
    ours = "server_id = ANY(SELECT id FROM servers WHERE location_id = %s)"
    day = "interval '1 day'"
    await region.execute(f"UPDATE actions SET started = started - {day} WHERE {ours}", region.location_id)
    await region.execute(f"UPDATE servers SET began = began - {day} WHERE location_id = %s", region.location_id)
    await region.execute(f"UPDATE findings SET since = since - {day} WHERE location_id = %s", region.location_id)


async def hanging_in(region: Region, step: str) -> ServerOrder:
    """A create that has got so far, and gets no further."""
    region.host.inject(Fault(HOST_STEPS[step], when="hang", count=None))
    order = await region.order()
    await region.admit(order)
    await eventually(lambda: _called(region, HOST_STEPS[step]))
    return order


async def assert_ended_late(region: Region, order: ServerOrder) -> None:
    async with region.pool.connection() as connection:
        found = await connection.execute(
            "SELECT command, status, error_code FROM actions WHERE server_id = %s ORDER BY id", (order.server_id,)
        )
        actions = [tuple(row.values()) for row in await found.fetchall()]
    assert actions == [
        ("create_server", "error", "timeout"),
        ("start_server", "error", "timeout"),
        ("delete_server", "success", None),
    ]


@pytest.mark.parametrize("step", ["ensure_image", "define_machine", "wait_ready"])
async def test_a_killed_create_is_given_back(region: Region, step: str) -> None:
    order = await hanging_in(region, step)
    await region.client.get_workflow_handle(provision_id(order.server_id)).terminate("by an operator")
    region.host.clear()

    assert await audit(region) == Audited({}, {}, {})  # it is within its deadline: whoever killed it may have a plan
    await a_day_passes(region)
    assert await audit(region) == Audited({}, {}, {})  # it is seen, and has the grace period to end by itself
    await a_day_passes(region)
    assert await audit(region) == Audited({"overdue": 1}, {}, {"overdue": 1})
    await a_day_passes(region)
    assert await sweep(region) == 1

    await eventually(lambda: _gone(region, order))
    await region.assert_nothing_left(order)
    await assert_ended_late(region, order)
    assert await audit(region) == Audited({}, {}, {})


async def test_a_create_that_works_on_past_its_deadline_is_stopped(region: Region) -> None:
    order = await hanging_in(region, "wait_ready")
    await a_day_passes(region)
    await audit(region)
    await a_day_passes(region)

    assert await audit(region) == Audited({"overdue": 1}, {}, {"overdue": 1})
    await a_day_passes(region)
    assert await sweep(region) == 1

    error = await region.ended(order)
    assert isinstance(error, ApplicationError)
    await eventually(lambda: _gone(region, order))
    await region.assert_nothing_left(order)
    await assert_ended_late(region, order)


async def test_a_killed_delete_is_begun_anew(region: Region) -> None:
    order = await region.create()
    region.host.inject(Fault("machines.destroy", when="hang", count=None))
    await region.begin_delete(order)
    await eventually(lambda: _called(region, "machines.destroy"))
    await region.client.get_workflow_handle(delete_id(order.server_id)).terminate("by an operator")
    region.host.clear()
    assert held(region.host) == {order.server_id}

    await a_day_passes(region)
    assert await sweep(region) == 1

    await eventually(lambda: _gone(region, order))
    await region.assert_nothing_left(order)


async def _called(region: Region, call: str) -> bool:
    return any(made.call == call for made in region.host.calls())


async def _gone(region: Region, order: ServerOrder) -> bool:
    return await region.server(order) is None
