"""The story of a create: what it leaves when it succeeds, and that it leaves nothing when it does not."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.exceptions import ApplicationError

from infra.db import orders
from infra.domain.errors import Unavailable
from infra.domain.models import Machine, Resources
from infra.domain.seed import Seed
from infra.drivers.simulated import Fault, Latencies
from infra.internal_api import InternalApi
from tests.fix_region import NewRegion, Region, eventually, held, working_host
from workers.region import region_worker
from workflows.options import QUEUE

HOST_STEPS = {
    "ensure_image": "images.ensure",
    "create_disk": "disks.create",
    "write_seed": "seeds.write",
    "attach_ports": "ports.attach",
    "define_machine": "machines.define",
    "start_machine": "machines.start",
    "wait_ready": "guests.host_key",
}


async def test_an_order_becomes_a_running_server(region: Region) -> None:
    order = await region.create()

    server = await region.server(order)
    assert server is not None
    assert (server["status"], server["locked_by"], server["epoch"]) == ("running", None, 1)
    assert server["host_key"].startswith("ssh-ed25519 ")
    assert (await region.action(order))["status"] == "success"
    inventory = region.host.inventory()
    assert inventory.machines == {order.server_id: True}
    assert inventory.disks == inventory.seeds == inventory.ports == {order.server_id}
    await region.assert_balanced()


async def test_its_timeline_names_every_step_in_order(region: Region) -> None:
    order = await region.create()

    timeline = (await region.action(order))["timeline"]
    steps = [step["name"] for step in timeline if step["name"] != "hear_host"]  # a busy machine's host is asked

    assert steps[:3] == ["reserve_quota", "place_server", "assign_addresses"]
    beside = {"publish_dns", "register_targets"}
    assert {"ensure_image", "attach_ports", "create_disk", "write_seed", *beside} == set(steps[3:-3])
    assert steps[-3:] == ["define_machine", "start_machine", "wait_ready"]


async def test_a_server_that_is_not_to_be_started_is_off(region: Region) -> None:
    order = await region.create(start=False)

    server = await region.server(order)
    assert server is not None
    assert server["status"] == "off"
    assert region.host.inventory().machines == {order.server_id: False}


async def test_the_branch_that_failed_says_why_and_not_the_one_that_was_stopped_for_it(new_region: NewRegion) -> None:
    async with new_region(2) as region:
        region.host.inject(Fault("images.ensure", when="hang"))
        region.host.inject(Fault("ports.attach", error="HostFull"))

        order = await region.create()

        first, second = region.hosts.values()
        assert held(first) == set()
        assert held(second) == {order.server_id}


async def test_the_addresses_stay_when_the_host_changes(new_region: NewRegion) -> None:
    async with new_region(2) as region:
        region.host.inject(Fault("machines.start", error="HostFull", count=None))
        order = await region.order()
        admission = await region.admit(order)
        assert await region.ended(order) is None

        rows = await region.one(
            "SELECT array_agg(address ORDER BY type) AS held FROM addresses WHERE server_id = %s", order.server_id
        )
        assert rows is not None
        assert admission.addresses is not None
        assert rows["held"] == [admission.addresses.ipv4, admission.addresses.ipv6_network]


async def test_a_host_whose_worker_is_gone_is_left_with_a_tombstone(new_region: NewRegion) -> None:
    async with new_region(2, workers=False) as region:
        dead, alive = region.hosts
        async with region_worker(region.client, region.pool, region.settings), working_host(region, alive):
            order = await region.create()
        buried = await region.one("SELECT epoch FROM tombstones WHERE host_id = %s", dead)
        assert buried == {"epoch": 1}
        assert held(region.hosts[alive]) == {order.server_id}

        async with working_host(region, dead, purge=True):
            assert await region.one("SELECT FROM tombstones WHERE host_id = %s", dead) is None
        await region.assert_balanced()


async def test_no_more_than_three_hosts_are_tried(new_region: NewRegion) -> None:
    async with new_region(4) as region:
        for host in region.hosts.values():
            host.inject(Fault("machines.start", error="HostFull", count=None))
        order = await region.order()
        await region.admit(order)
        error = await region.ended(order)

        assert isinstance(error, ApplicationError)
        assert error.type == "host_full"
        tried = [host for host in region.hosts.values() if any(call.call == "machines.start" for call in host.calls())]
        assert len(tried) == 3
        await region.assert_nothing_left(order)


async def test_a_quota_that_is_spent_refuses_and_says_by_how_much(region: Region) -> None:
    await region.set_quota(max_servers=0)
    order = await region.order()

    refused = (await region.admit(order)).refused

    assert refused is not None
    assert (refused.code, refused.status) == ("resource_limit_exceeded", 403)
    assert refused.details is not None
    assert {limit["name"] for limit in refused.details["limits"]} == {"project_limit", "user_limit"}
    await region.ended(order)
    await region.assert_nothing_left(order)


async def test_a_region_without_room_refuses_with_counts(new_region: NewRegion) -> None:
    async with new_region(room=Resources(cores=0, memory_mib=0, disk_gib=0)) as region:
        order = await region.order()
        refused = (await region.admit(order)).refused

        assert refused is not None
        assert (refused.code, refused.status) == ("resource_unavailable", 412)
        await region.ended(order)
        await region.assert_nothing_left(order)


async def test_a_pool_without_addresses_refuses(new_region: NewRegion) -> None:
    async with new_region(ipv4_prefix=30) as region:
        for _ in range(2):
            await region.create()
        order = await region.order()
        refused = (await region.admit(order)).refused

        assert refused is not None
        assert refused.code == "resource_unavailable"
        await region.ended(order)
        await region.assert_nothing_left(order)


async def test_an_address_rests_before_it_is_used_again(new_region: NewRegion) -> None:
    async with new_region(ipv4_prefix=30, rest=0) as region:
        first, second = await region.create(), await region.create()
        assert first is not second
        await region.delete(first)
        await region.create()  # there is no third address: the first one's came back


async def test_a_withdrawn_order_never_begins(region: Region) -> None:
    order = await region.order()
    async with region.pool.connection() as connection:
        assert await orders.withdraw(connection, order.server_id) is orders.Withdrawal.DONE

    refused = (await region.admit(order)).refused

    assert refused is not None
    assert refused.code == "conflict"
    await region.ended(order)
    assert region.host.calls() == []


async def test_a_guest_that_never_answers_ends_the_order(new_region: NewRegion) -> None:
    async with new_region(latencies=Latencies(boot=3600), patience=10) as region:
        order = await region.order()
        await region.admit(order)
        error = await region.ended(order)

        assert isinstance(error, ApplicationError)
        assert error.type == "server_not_ready"
        await region.assert_nothing_left(order)


@pytest.mark.parametrize("step", ["define_machine", "start_machine", "wait_ready"])
async def test_a_create_goes_on_after_its_host_was_down(new_region: NewRegion, step: str) -> None:
    """As when everything is stopped with Ctrl-C: the machine is undefined and its port detached; disk and seed stay."""
    async with new_region(workers=False, latencies=Latencies(boot=0.5)) as region:
        (host_id,) = region.hosts
        async with region_worker(region.client, region.pool, region.settings):
            order = await region.order()
            async with working_host(region, host_id):
                region.host.inject(Fault(HOST_STEPS[step], when="hang", count=None))
                await region.admit(order)
                await eventually(lambda: _called(region, HOST_STEPS[step]))
            hands = region.host.host()
            await hands.machines.destroy(order.server_id)
            await hands.ports.detach(order.server_id)
            region.host.clear()
            async with working_host(region, host_id, purge=True):
                assert await region.ended(order) is None
            assert region.host.inventory().machines == {order.server_id: True}
            await region.assert_balanced()


async def test_the_api_may_be_away_for_longer_than_its_hosts_are_patient(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, until = InternalApi.seed, asyncio.get_running_loop().time() + 5

    async def away(self: InternalApi, machine: Machine) -> Seed:
        if asyncio.get_running_loop().time() < until:
            raise Unavailable("away")
        return await works(self, machine)

    monkeypatch.setattr(InternalApi, "seed", away)
    order = await region.create()

    server = await region.server(order)
    assert server is not None
    assert server["epoch"] == 1


async def test_the_only_host_is_tried_again_when_it_was_just_away(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        (host_id,) = region.hosts
        order = await region.order()
        await region.admit(order)
        await eventually(lambda: region.one("SELECT id FROM hosts WHERE id = %s AND silent IS NOT NULL", host_id))
        async with working_host(region, host_id, purge=True):
            assert await region.ended(order) is None
        server = await region.server(order)
        assert server is not None
        assert server["epoch"] > 1
        await region.assert_balanced()


async def test_a_host_that_does_not_come_back_ends_the_order(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        order = await region.order()
        await region.admit(order)

        error = await region.ended(order)

        assert isinstance(error, ApplicationError)
        assert error.type == "host_unavailable"
        assert await region.server(order) is None
        await region.assert_balanced()


async def test_a_busy_host_is_not_left(new_region: NewRegion) -> None:
    """Its worker has one slot, taken for longer than a step may wait: a queue is no sign of death."""
    async with new_region(2, workers=False) as region, region_worker(region.client, region.pool, region.settings):
        region.settings.host_slots = 1
        busy = region.host
        busy.inject(Fault("images.ensure", when="hang", count=1))
        (busy_id, _) = region.hosts
        async with working_host(region, busy_id):
            order = await region.order()
            await region.admit(order)
            await eventually(lambda: _called(region, "images.ensure"))
            await asyncio.sleep(4 * QUEUE)  # the port waits behind the image, which nothing can make quicker
            busy.clear()
            assert await region.ended(order) is None
        server = await region.server(order)
        assert server is not None
        assert server["epoch"] == 1
        assert held(busy) == {order.server_id}


async def test_the_owner_reads_why_the_first_host_was_left(region: Region) -> None:
    region.host.inject(Fault("disks.create", error="HostFull", count=None))
    order = await region.order()
    await region.admit(order)

    error = await region.ended(order)

    assert isinstance(error, ApplicationError)
    assert error.type == "host_full"
    await region.assert_nothing_left(order)


async def _called(region: Region, call: str) -> bool:
    return any(made.call == call for made in region.host.calls())
