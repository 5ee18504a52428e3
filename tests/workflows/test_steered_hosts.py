"""Hosts that operators steer: no new server comes to one that takes none, what it has goes on, and nobody waits for one
that is lost."""

from __future__ import annotations

import pytest
from temporalio.testing import ActivityEnvironment

from activities.hosts import Hosts
from infra.db import host_care
from infra.db.host_care import State
from infra.domain.models import HostQuestion, ServerOrder
from infra.drivers.simulated import Fault
from tests.fix_region import NewRegion, Region, eventually


async def put(region: Region, host_id: int, state: State) -> None:
    async with region.pool.connection() as connection:
        await host_care.set_state(connection, host_id, state)


async def host_of(region: Region, order: ServerOrder) -> int:
    claim = await region.one("SELECT host_id FROM claims WHERE server_id = %s", order.server_id)
    assert claim is not None
    return int(claim["host_id"])


@pytest.mark.parametrize("state", ["cordoned", "draining", "lost"])
async def test_new_servers_go_elsewhere_and_old_ones_stay(new_region: NewRegion, state: State) -> None:
    async with new_region(2) as region:
        old = await region.create()
        steered = await host_of(region, old)

        await put(region, steered, state)
        new = [await region.create() for _ in range(2)]

        assert steered not in {await host_of(region, order) for order in new}
        assert region.hosts[steered].inventory().machines == {old.server_id: True}
        await region.delete(old)
        await region.assert_nothing_left(old)


async def test_a_lost_host_is_not_waited_for_whatever_signs_of_life_it_gives(region: Region) -> None:
    (host_id,) = region.hosts
    question = HostQuestion(host_id, enough=False)
    hosts = Hosts(region.pool, region.client, region.settings.worker_pulse)

    assert await ActivityEnvironment().run(hosts.hear_host, question)
    await put(region, host_id, "lost")
    assert not await ActivityEnvironment().run(hosts.hear_host, question)
    await put(region, host_id, "accepting")
    assert await ActivityEnvironment().run(hosts.hear_host, question)


async def test_a_create_under_way_finishes_on_a_draining_host(region: Region) -> None:
    (host_id,) = region.hosts
    region.host.inject(Fault("machines.define", when="hang", count=None))
    order = await region.order()
    await region.admit(order)
    await eventually(lambda: reached(region, "machines.define"))

    await put(region, host_id, "draining")
    refused = await region.order()
    admission = await region.admit(refused)
    region.host.clear()

    assert await region.ended(order) is None
    assert region.host.inventory().machines == {order.server_id: True}
    assert admission.refused is not None
    assert admission.refused.code == "resource_unavailable"
    assert "of 1 host 1 is not accepting" in admission.refused.message
    await put(region, host_id, "accepting")
    assert await region.create()


async def reached(region: Region, call: str) -> bool:
    return any(made.call == call for made in region.host.calls())
