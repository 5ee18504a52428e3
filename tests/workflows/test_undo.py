"""Undo: when it fails, and when it is not done at all."""

from __future__ import annotations

import pytest

from activities.fence import UNDO
from infra.drivers.simulated import Fault
from tests.fix_region import NewRegion, held, working_host
from workers.region import region_worker
from workflows.options import STEPS

UNDO_CALLS = {
    "destroy_machine": "machines.destroy",
    "detach_ports": "ports.detach",
    "remove_seed": "seeds.remove",
    "remove_disk": "disks.remove",
}


def test_every_undo_on_a_host_is_tried_here_and_fenced() -> None:
    assert set(UNDO_CALLS) == UNDO
    assert all(STEPS[undo].place == "host" for undo in UNDO)


@pytest.mark.parametrize("undo", UNDO_CALLS)
async def test_an_undo_that_fails_for_good_holds_nothing_else_up_and_is_made_up_for(
    new_region: NewRegion, undo: str
) -> None:
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        (host_id,) = region.hosts
        async with working_host(region, host_id):
            order = await region.create()
            region.host.inject(Fault(UNDO_CALLS[undo], error="HostFull", count=None))
            await region.delete(order)
        inventory = region.host.inventory()
        left = {
            "machines.destroy": bool(inventory.machines),
            "ports.detach": bool(inventory.ports),
            "seeds.remove": bool(inventory.seeds),
            "disks.remove": bool(inventory.disks),
        }
        assert [call for call, is_left in left.items() if is_left] == [UNDO_CALLS[undo]]
        assert await region.server(order) is None

        region.host.clear()
        async with working_host(region, host_id, purge=True):
            await region.assert_nothing_left(order)
            assert await region.one("SELECT FROM tombstones WHERE host_id = %s", host_id) is None


async def test_one_lost_disk_keeps_no_other_server_down(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        (host_id,) = region.hosts
        async with working_host(region, host_id):
            orders = [await region.create(), await region.create()]
        host = region.host.host()
        for order in orders:
            await host.machines.destroy(order.server_id)
        await host.disks.remove(orders[0].server_id)

        async with working_host(region, host_id, purge=True):
            assert region.host.inventory().machines[orders[1].server_id]
        assert held(region.host) >= {order.server_id for order in orders}
