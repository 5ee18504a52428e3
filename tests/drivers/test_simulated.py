"""The simulated host keeps the contract of a host, and outlives its worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.domain.errors import GuestNotReady, HostFull, ImageUnusable
from infra.domain.models import Addresses, Machine
from infra.domain.seed import Surroundings, seed_of
from infra.drivers.protocols import Host, PartsMissing
from infra.drivers.simulated import CallerBug, Fault, Inventory, Latencies, SimulatedHost
from tests.drivers.conftest import IMAGE, ROOM, machine_of
from tests.drivers.host_contract import HostContract, answer, boot, forget, ignored, prepare
from tests.port_plans import member_port, plan_for

ROOT = Path(__file__).parents[2]


class TestContract(HostContract):
    patience = 5.0


class TestContractWithLatencies(HostContract):
    patience = 5.0

    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[Host]:
        with SimulatedHost(tmp_path / "slow.db", ROOM) as simulated:
            yield simulated.host()


# What it refuses, as a host or as the caller's bug


async def test_a_disk_needs_its_image_and_the_size_of_it(host: Host) -> None:
    with pytest.raises(CallerBug, match="server 1 wants a disk of image debian-12"):
        await host.disks.create(1, IMAGE, 10)
    await host.images.ensure(IMAGE, ignored)
    with pytest.raises(ImageUnusable):
        await host.disks.create(1, IMAGE, 1)


async def test_room_is_given_out_once(host: Host) -> None:
    await host.images.ensure(IMAGE, ignored)
    await asyncio.gather(*(host.disks.create(server_id, IMAGE, 50) for server_id in (1, 2)))
    with pytest.raises(HostFull):
        await host.disks.create(3, IMAGE, 2)
    await host.disks.create(1, IMAGE, 50)
    await host.disks.remove(1)
    await host.disks.create(3, IMAGE, 2)


async def test_memory_is_given_out_once(host: Host) -> None:
    first, second = machine_of(1, memory_mib=16_384), machine_of(2, memory_mib=1)
    await prepare(host, first)
    await prepare(host, second)
    await host.machines.define(first)
    with pytest.raises(HostFull):
        await host.machines.define(second)
    await host.machines.define(first)


async def test_two_servers_never_have_one_address(host: Host, machine: Machine) -> None:
    await host.ports.attach(plan_for(machine))
    with pytest.raises(CallerBug, match=r"servers 1 and 2 have the same address 192\.0\.2\.1"):
        await host.ports.attach(plan_for(replace(machine_of(2), addresses=Addresses("192.0.2.1", None))))
    assert await host.ports.held() == {1}
    await host.ports.detach(1)
    await host.ports.attach(plan_for(replace(machine_of(2), addresses=Addresses("192.0.2.1", None))))


async def test_an_observer_sees_ports_and_nics(simulated: SimulatedHost, host: Host, machine: Machine) -> None:
    plan = plan_for(machine, member_port(71, aliases=("10.8.9.9",)), firewalls=(3,))
    await host.ports.attach(plan)
    assert simulated.plan_of(1) == plan
    await boot(host, machine.with_members((71,)))
    assert simulated.nics_of(1) == {71}
    await host.machines.unplug(1, ())
    assert simulated.nics_of(1) == set()
    await forget(host, 1)
    assert simulated.plan_of(1) is None


async def test_what_was_never_defined_is_not_started(host: Host) -> None:
    with pytest.raises(PartsMissing, match="server 1 is started, but was never defined"):
        await host.machines.start(1)


# Its guests


async def test_a_guest_needs_its_time_and_its_port(tmp_path: Path, machine: Machine) -> None:
    with SimulatedHost(tmp_path / "host.db", latencies=replace(Latencies.none(), boot=0.5)) as simulated:
        host = simulated.host()
        await boot(host, machine)
        began = time.monotonic()
        with pytest.raises(GuestNotReady):
            await host.guests.host_key("192.0.2.1")
        assert (await host.guests.heartbeat(machine, 5)).uptime >= 0.5
        assert time.monotonic() - began >= 0.4
        await host.guests.host_key("192.0.2.1")
        await host.ports.detach(1)
        with pytest.raises(GuestNotReady):
            await host.guests.host_key("192.0.2.1")


async def test_a_guest_that_is_still_booting_does_not_obey_the_button(tmp_path: Path, machine: Machine) -> None:
    with SimulatedHost(tmp_path / "host.db", latencies=replace(Latencies.none(), boot=0.5)) as simulated:
        host = simulated.host()
        await boot(host, machine)
        assert not await host.machines.shut_down(1, 0.05)
        assert (await host.machines.held())[1]
        assert await host.machines.shut_down(1, 5)


async def test_a_guest_without_an_agent_sends_no_heartbeat(host: Host) -> None:
    machine = machine_of(1, replace(IMAGE, has_agent=False))
    await boot(host, machine)
    await host.guests.host_key("192.0.2.1")
    with pytest.raises(GuestNotReady):
        await host.guests.heartbeat(machine, 0.05)


async def test_a_guest_names_the_instance_of_the_seed_it_booted_with(host: Host, machine: Machine) -> None:
    await prepare(host, machine)
    await host.seeds.write(1, seed_of(machine_of(2), plan_for(machine_of(2)), [], "", "", Surroundings()))
    await host.machines.define(machine)
    await host.machines.start(1)
    assert (await host.guests.heartbeat(machine, 1)).instance == "i-2"


async def test_host_keys_differ_by_server_and_by_the_hosts_seed(tmp_path: Path) -> None:
    keys = set()
    for seed in (0, 1):
        with SimulatedHost(tmp_path / f"{seed}.db", ROOM, Latencies.none(), seed) as simulated:
            for server_id in (1, 2):
                await boot(simulated.host(), machine_of(server_id))
                keys.add(await simulated.host().guests.host_key(f"192.0.2.{server_id}"))
    assert len(keys) == 4


async def test_a_guest_can_turn_itself_off(simulated: SimulatedHost, host: Host, machine: Machine) -> None:
    await boot(host, machine)
    simulated.power_off(1)
    assert await host.machines.held() == {1: False}
    with pytest.raises(GuestNotReady):
        await host.guests.host_key("192.0.2.1")


WORKER = """
import asyncio, sys
from pathlib import Path
from tests.drivers.host_contract import boot
from infra.drivers.simulated import Latencies, SimulatedHost
from tests.drivers.test_simulated import machine_of

async def work():
    host = SimulatedHost(Path(sys.argv[1]), latencies=Latencies.none()).host()
    for server_id in (1, 2):
        await boot(host, machine_of(server_id))

asyncio.run(work())
"""


@pytest.fixture
def killed_worker(simulated: SimulatedHost) -> None:
    """Another process booted server 1 and was killed while it waited for the answer to the start of server 2."""
    simulated.inject(Fault("machines.start", when="after", server_id=2, delay_s=60))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(simulated.path)], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not simulated.inventory().machines.get(2):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        worker.kill()
    assert worker.wait() == -signal.SIGKILL


@pytest.mark.usefixtures("killed_worker")
async def test_the_host_outlives_a_worker_that_is_killed(simulated: SimulatedHost) -> None:
    both = frozenset({1, 2})
    assert simulated.inventory() == Inventory(both, both, both, {1: True, 2: True})
    assert [call.server_id for call in simulated.calls() if call.call == "machines.start"] == [1, 2]
    successor = simulated.host()
    await boot(successor, machine_of(2))
    assert await answer(successor, "192.0.2.2", 1) == (await successor.guests.heartbeat(machine_of(2), 1)).host_key
    for server_id in both:
        await forget(successor, server_id)
    assert simulated.inventory().is_empty
