"""The story of a delete: from every state, a create under way included, it ends as nothing at all."""

from __future__ import annotations

import pytest

from infra.domain.models import ServerOrder
from infra.drivers.simulated import Fault, Latencies
from infra.temporal.begin import begin_provision
from infra.temporal.names import provision_id
from tests.fix_region import NewRegion, Region, eventually, held, working_host
from tests.workflows.stuck_story import StuckStory
from tests.workflows.test_provision_server import HOST_STEPS
from workers.region import region_worker
from workflows.delete_server import DeleteServer


async def test_a_running_server_is_deleted_without_a_trace(region: Region) -> None:
    order = await region.create()

    await region.delete(order)

    await region.assert_nothing_left(order)
    deleted = await region.one(
        "SELECT status FROM actions WHERE command = 'delete_server' AND server_id = %s", order.server_id
    )
    assert deleted == {"status": "success"}


@pytest.mark.parametrize("step", HOST_STEPS)
async def test_a_delete_during_a_step_stops_the_create(region: Region, step: str) -> None:
    region.host.inject(Fault(HOST_STEPS[step], when="hang", count=None))
    order = await region.order()
    await region.admit(order)
    await eventually(lambda: _called(region, HOST_STEPS[step]))

    await region.begin_delete(order)
    await eventually(lambda: _gone(region, order.server_id))
    await region.assert_nothing_left(order)
    action = await region.action(order)
    assert action["error_code"] == "server_deleted"


async def test_a_delete_before_the_story_began_wins(region: Region) -> None:
    order = await region.order()

    await region.delete(order)

    await region.assert_nothing_left(order)
    assert region.host.calls() == []
    assert order.start_action_id is not None
    for action_id in (order.action_id, order.start_action_id):  # those who wait for them are told
        told = await region.one("SELECT status, error_code FROM actions WHERE id = %s", action_id)
        assert told == {"status": "error", "error_code": "server_deleted"}


async def test_a_host_that_is_gone_does_not_hold_a_delete_up(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        (host_id,) = region.hosts
        async with working_host(region, host_id):
            order = await region.create()
        await region.delete(order)
        assert await region.server(order) is None
        assert held(region.host) == {order.server_id}

        async with working_host(region, host_id, purge=True):
            await region.assert_nothing_left(order)


async def test_a_delete_while_the_guest_boots_is_quick(new_region: NewRegion) -> None:
    async with new_region(latencies=Latencies(boot=3600)) as region:
        order = await region.order()
        await region.admit(order)
        await eventually(lambda: _called(region, "guests.host_key"))

        await region.delete(order)

        await region.assert_nothing_left(order)


async def test_a_create_that_cannot_stop_is_ended_by_force(
    new_region: NewRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.region.UNWIND", 3.0)
    async with new_region(workers=False) as region:
        stories = [StuckStory, DeleteServer]
        async with region_worker(region.client, region.pool, region.settings, stories):
            order = await region.order()
            await begin_provision(region.client, order)
            await eventually(lambda: _task_fails(region, order))

            await region.delete(order)

            region.orders.remove(order)  # a bug is not replayed
            await region.assert_nothing_left(order)
            action = await region.action(order)
            assert (action["status"], action["error_code"]) == ("error", "server_deleted")


async def _called(region: Region, call: str) -> bool:
    return any(made.call == call for made in region.host.calls())


async def _task_fails(region: Region, order: ServerOrder) -> bool:
    history = await region.client.get_workflow_handle(provision_id(order.server_id)).fetch_history()
    return any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)


async def _gone(region: Region, server_id: int) -> bool:
    return await region.one("SELECT FROM servers WHERE id = %s", server_id) is None
