"""The story of a power command: the server is what its owner asked for, whatever becomes of its host meanwhile."""

from __future__ import annotations

import pytest

from infra.domain.errors import Locked
from infra.domain.models import ServerOrder
from infra.domain.networks import mac_of
from infra.drivers.simulated import Fault, Latencies
from infra.temporal.names import change_id, region_queue
from tests.fix_api import serving
from tests.fix_hosts import host_process
from tests.fix_region import NewRegion, Region, eventually, working_host
from tests.workflows.test_ports import join
from workers.region import region_worker

SLOW = Latencies(boot=0.0, shut_down=3600.0)
"""Of a host whose guests do not obey their power button."""


def runs(region: Region, order: ServerOrder) -> bool | None:
    """None: the host does not know it."""
    return region.host.inventory().machines.get(order.server_id)


def told(server: dict[str, object]) -> tuple[object, object, object]:
    return server["status"], server["desired"], server["locked_by"]


async def test_a_server_is_off_and_on_again_as_it_was(region: Region) -> None:
    order = await region.create()
    before = region.host.inventory()

    off = await region.done(order, "stop_server")
    stopped = region.host.inventory()
    on = await region.done(order, "start_server")

    assert told(off) == ("off", "off", None)
    assert told(on) == ("running", "on", None)
    assert stopped.machines == {order.server_id: False}
    assert (stopped.disks, stopped.seeds, stopped.ports) == (before.disks, before.seeds, before.ports)
    assert region.host.inventory().machines == {order.server_id: True}
    await region.delete(order)
    await region.assert_nothing_left(order)


@pytest.mark.parametrize(
    ("first", "command", "status"),
    [
        ("start_server", "start_server", "running"),
        ("stop_server", "stop_server", "off"),
        ("stop_server", "shutdown_server", "off"),
        ("stop_server", "reboot_server", "running"),
        ("stop_server", "reset_server", "running"),
    ],
)
async def test_what_is_so_already_or_not_is_made_so(region: Region, first: str, command: str, status: str) -> None:
    order = await region.create()
    await region.done(order, first)

    server = await region.done(order, command)

    assert server["status"] == status
    assert runs(region, order) is (status == "running")


@pytest.mark.parametrize("command", ["reboot_server", "reset_server"])
async def test_a_server_boots_with_the_networks_that_it_has_by_then(region: Region, command: str) -> None:
    order = await region.create()
    mac = mac_of(await join(region, order))

    await region.done(order, command)
    joined = _seed_on(region, order)
    await region.execute("DELETE FROM network_members WHERE server_id = %s", order.server_id)
    await region.done(order, command)

    assert (mac in joined, mac in _seed_on(region, order)) == (True, False)


async def test_a_guest_that_obeys_is_off_when_its_shutdown_is_done(region: Region) -> None:
    order = await region.create()

    assert told(await region.done(order, "shutdown_server")) == ("off", "off", None)
    assert runs(region, order) is False


async def test_a_server_whose_host_went_down_is_whole_when_its_shutdown_is_done(region: Region) -> None:
    order = await region.create()
    await region.host.host().machines.destroy(order.server_id)

    assert told(await region.done(order, "shutdown_server")) == ("off", "off", None)
    assert runs(region, order) is False
    await region.delete(order)
    await region.assert_nothing_left(order)


async def test_the_status_follows_a_guest_that_obeys_late(new_region: NewRegion) -> None:
    async with new_region(latencies=SLOW) as region:
        order = await region.create()
        change = await region.command(order, "shutdown_server")
        await eventually(lambda: _ended(region, change.action_id))
        server = await region.server(order)
        assert server is not None
        assert told(server) == ("running", "off", None)

        region.host.power_off(order.server_id)
        await eventually(lambda: _is(region, order, "off"))
        assert runs(region, order) is False


async def test_a_guest_that_never_obeys_goes_on_running(new_region: NewRegion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.options.SHUTDOWN_PATIENCE", 1.0)
    async with new_region(latencies=SLOW) as region:
        order = await region.create()

        server = await region.done(order, "shutdown_server")

        assert told(server) == ("running", "on", None)
        assert runs(region, order) is True


async def test_another_command_does_not_wait_for_a_guest_that_is_told_to_shut_down(new_region: NewRegion) -> None:
    async with new_region(latencies=SLOW) as region:
        order = await region.create()
        change = await region.command(order, "shutdown_server")
        await eventually(lambda: _ended(region, change.action_id))

        assert told(await region.done(order, "start_server")) == ("running", "on", None)
        assert await region.done(order, "stop_server")
        await region.client.get_workflow_handle(change_id(change)).result()  # it has nothing to say any more
        assert await _is(region, order, "off")


async def test_a_reboot_stops_a_guest_that_does_not_obey(
    new_region: NewRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.options.REBOOT_PATIENCE", 1.0)
    async with new_region(latencies=SLOW) as region:
        order = await region.create()

        assert told(await region.done(order, "reboot_server")) == ("running", "on", None)
        calls = [call.call.removeprefix("machines.") for call in region.host.calls() if "machines." in call.call]
        calls = [call for call in calls if "plug" not in call]
        assert calls[-5:] == ["shut_down", "destroy", "define", "define", "start"]


async def test_one_command_at_a_time(region: Region) -> None:
    order = await region.create()
    region.host.inject(Fault("machines.destroy", when="hang", count=None))
    await region.command(order, "stop_server")

    with pytest.raises(Locked):
        await region.command(order, "start_server")

    server = await region.server(order)
    assert server is not None
    assert (server["status"], server["desired"], server["epoch"]) == ("stopping", "off", 2)
    region.host.clear()
    await eventually(lambda: _is(region, order, "off"))


async def test_a_command_whose_story_was_not_begun_is_carried_out_by_the_sweep(region: Region) -> None:
    order = await region.create()
    change = await region.accept(order, "stop_server")
    await region.execute("UPDATE actions SET started = now() - interval '1 hour' WHERE id = %s", change.action_id)

    await region.client.execute_workflow(
        "SweepOrders", region.location, id=f"sweep-{region.location}", task_queue=region_queue(region.location)
    )

    await eventually(lambda: _is(region, order, "off"))
    assert runs(region, order) is False


async def test_a_step_that_fails_for_good_is_done_again(region: Region) -> None:
    order = await region.create()
    await region.done(order, "stop_server")
    region.host.inject(Fault("machines.start", error="HostFull", count=1))

    assert told(await region.done(order, "start_server")) == ("running", "on", None)


async def test_what_cannot_be_done_in_time_is_an_error_and_can_be_asked_for_again(
    new_region: NewRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.options.POWER_WITHIN", 0.0)
    async with new_region() as region:
        order = await region.create()
        await region.done(order, "stop_server")
        region.host.inject(Fault("machines.start", error="HostFull", count=1))

        change = await region.command(order, "start_server")
        await region.client.get_workflow_handle(change_id(change)).result()

        action = await region.one("SELECT * FROM actions WHERE id = %s", change.action_id)
        assert action is not None
        assert (action["status"], action["error_code"]) == ("error", "host_full")
        server = await region.server(order)
        assert server is not None
        assert told(server) == ("unknown", "on", None)
        assert told(await region.done(order, "start_server")) == ("running", "on", None)


async def test_a_delete_takes_over(region: Region) -> None:
    order = await region.create()
    region.host.inject(Fault("machines.start", error="HostUnavailable", count=None))
    change = await region.command(order, "reset_server")
    await eventually(lambda: _called(region, "machines.destroy"))

    await region.delete(order)

    region.host.clear()
    await region.client.get_workflow_handle(change_id(change)).result()
    await region.assert_nothing_left(order)
    action = await region.one("SELECT status, error_code FROM actions WHERE id = %s", change.action_id)
    assert action == {"status": "error", "error_code": "server_deleted"}


async def test_a_host_that_is_away_does_it_when_it_is_back(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, region_worker(region.client, region.pool, region.settings):
        (host_id,) = region.hosts
        async with working_host(region, host_id):
            order = await region.create()
        change = await region.command(order, "stop_server")
        await eventually(lambda: _silent(region, host_id))
        assert await _is(region, order, "stopping")

        async with working_host(region, host_id, purge=True):
            await region.client.get_workflow_handle(change_id(change)).result()
            assert await _is(region, order, "off")
            assert runs(region, order) is False


@pytest.mark.parametrize("call", ["machines.destroy", "machines.start"])
async def test_a_worker_that_dies_in_the_middle(new_region: NewRegion, call: str) -> None:
    async with new_region(workers=False) as region, serving(region.settings) as url:
        (host_id,) = region.hosts
        async with region_worker(region.client, region.pool, region.settings):
            async with host_process(region, host_id, url) as process:
                order = await region.create()
                region.host.inject(Fault(call, when="hang", count=1))
                change = await region.command(order, "reset_server")
                await eventually(lambda: _struck(region, call, order))
                process.kill()
            region.host.clear()
            async with host_process(region, host_id, url):
                await region.client.get_workflow_handle(change_id(change)).result()
                assert await _is(region, order, "running")
                assert runs(region, order) is True


async def test_a_host_restarts_what_should_run_and_nothing_else(new_region: NewRegion) -> None:
    """After a power cut: what its owner stopped stays off, and what is being started is up before its story asks."""
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with region_worker(region.client, region.pool, region.settings), working_host(region, host_id):
            stopped, running, starting, unheard = [await region.create() for _ in range(4)]
            for order in (stopped, unheard):
                await region.done(order, "stop_server")
            await region.done(starting, "stop_server")
        await region.command(starting, "start_server")  # nobody is there to do it
        machines = region.host.host().machines
        await machines.start(unheard.server_id)  # its stop was given up
        for order in (running, stopped, starting):
            await machines.destroy(order.server_id)
        await region.execute("UPDATE servers SET status = 'unknown' WHERE id = %s", unheard.server_id)

        async with working_host(region, host_id, purge=True):
            runs_now = region.host.inventory().machines
            assert {order.server_id: order in (running, starting) for order in region.orders} == runs_now
            async with region_worker(region.client, region.pool, region.settings):
                await eventually(lambda: _is(region, starting, "running"))


async def _ended(region: Region, action_id: int) -> bool:
    return await region.one("SELECT FROM actions WHERE id = %s AND status = 'success'", action_id) is not None


async def _is(region: Region, order: ServerOrder, status: str) -> bool:
    server = await region.server(order)
    return server is not None and server["status"] == status


def _seed_on(region: Region, order: ServerOrder) -> str:
    """What it says of networks."""
    seed = region.host.seed_of(order.server_id)
    assert seed is not None
    return seed.network_config


async def _called(region: Region, call: str) -> bool:
    return any(made.call == call for made in region.host.calls())


async def _struck(region: Region, call: str, order: ServerOrder) -> bool:
    """Beyond what its create did."""
    made = [one for one in region.host.calls() if (one.call, one.server_id) == (call, order.server_id)]
    return len(made) == {"machines.destroy": 1, "machines.start": 2}[call]


async def _silent(region: Region, host_id: int) -> bool:
    return await region.one("SELECT FROM hosts WHERE id = %s AND silent IS NOT NULL", host_id) is not None
