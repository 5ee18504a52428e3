"""The contract of a host: what every implementation of ``infra/drivers/protocols.py`` has to keep.

Subclass it in a test module and give it the fixtures ``host``, ``image`` (one that the host's store has) and
``machine`` (not made yet, with at least one address, of that image); set ``patience`` to what a boot may take.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from infra.domain.errors import GuestNotReady, HostFailure, HostFull, ImageDoubtful
from infra.domain.models import Image, Machine
from infra.domain.seed import Surroundings, seed_of
from infra.drivers.protocols import Host, PartsMissing, Progress
from tests.port_plans import plan_for


def ignored(done: int) -> None:
    """Progress that nobody watches."""


async def prepare(host: Host, machine: Machine, progress: Progress = ignored) -> None:
    """Everything that a machine is defined from."""
    await host.images.ensure(machine.image, progress)
    seed = seed_of(machine, plan_for(machine), ssh_keys=[], user_data="", vendor_data="", around=Surroundings())
    await asyncio.gather(
        host.disks.create(machine.server_id, machine.image, machine.resources.disk_gib),
        host.seeds.write(machine.server_id, seed),
        host.ports.attach(plan_for(machine)),
    )


async def run(host: Host, machine: Machine) -> None:
    await host.machines.define(machine)
    await host.machines.start(machine.server_id)


async def boot(host: Host, machine: Machine) -> None:
    await prepare(host, machine)
    await run(host, machine)


async def answer(host: Host, address: str, patience: float) -> str:
    """The guest's host key, as soon as it answers."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await host.guests.host_key(address)
        except GuestNotReady:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


async def forget(host: Host, server_id: int) -> None:
    await host.machines.destroy(server_id)
    await host.ports.detach(server_id)
    await host.seeds.remove(server_id)
    await host.disks.remove(server_id)


async def holdings(host: Host, server_id: int) -> set[str]:
    """Which hands hold anything of a server."""
    held = {
        "disk": await host.disks.held(),
        "seed": await host.seeds.held(),
        "port": await host.ports.held(),
        "machine": set(await host.machines.held()),
    }
    return {part for part, servers in held.items() if server_id in servers}


class HostContract:
    patience: ClassVar[float]

    async def test_making_and_forgetting_are_repeatable_and_leave_nothing(self, host: Host, machine: Machine) -> None:
        for _ in range(2):
            await prepare(host, machine)
        assert await holdings(host, machine.server_id) == {"disk", "seed", "port"}
        for _ in range(2):
            await host.machines.define(machine)
        assert (await host.machines.held())[machine.server_id] is False
        assert (await host.machines.states())[machine.server_id] == "off"
        for _ in range(2):
            await host.machines.start(machine.server_id)
        assert (await host.machines.held())[machine.server_id] is True
        assert (await host.machines.states())[machine.server_id] == "running"
        for _ in range(2):
            await forget(host, machine.server_id)
        assert await holdings(host, machine.server_id) == set()

    async def test_forgetting_what_never_was_is_fine(self, host: Host, machine: Machine) -> None:
        await forget(host, machine.server_id)

    async def test_parts_can_be_forgotten_in_any_order(self, host: Host, machine: Machine) -> None:
        await boot(host, machine)
        await asyncio.gather(
            host.disks.remove(machine.server_id),
            host.seeds.remove(machine.server_id),
            host.ports.detach(machine.server_id),
            host.machines.destroy(machine.server_id),
        )
        assert await holdings(host, machine.server_id) == set()

    async def test_an_image_is_ensured_for_all_who_ask_and_progress_grows(self, host: Host, image: Image) -> None:
        heard: list[list[int]] = [[] for _ in range(5)]
        await asyncio.gather(*(host.images.ensure(image, progress.append) for progress in heard))
        assert all(progress == sorted(progress) for progress in heard)
        await host.images.ensure(image, ignored)

    async def test_an_image_that_the_store_lacks_is_doubtful(self, host: Host, image: Image) -> None:
        with pytest.raises(ImageDoubtful):
            await host.images.ensure(replace(image, digest="deadbeef" * 8), ignored)

    async def test_a_disk_too_large_for_the_host_is_refused(self, host: Host, machine: Machine) -> None:
        await host.images.ensure(machine.image, ignored)
        with pytest.raises(HostFull):
            await host.disks.create(machine.server_id, machine.image, (await host.facts.capacity()).disk_gib + 1)
        await host.disks.remove(machine.server_id)
        assert await holdings(host, machine.server_id) == set()

    @pytest.mark.parametrize("missing", ["disk", "seed", "port"])
    async def test_a_machine_is_not_made_of_parts_that_are_missing(
        self, host: Host, machine: Machine, missing: str
    ) -> None:
        await prepare(host, machine)
        remove = {"disk": host.disks.remove, "seed": host.seeds.remove, "port": host.ports.detach}[missing]
        await remove(machine.server_id)
        with pytest.raises(Exception, match=missing) as failure:
            await run(host, machine)
        assert not isinstance(failure.value, HostFailure)
        await forget(host, machine.server_id)

    async def test_a_guest_answers_once_it_is_up_with_one_key_everywhere(self, host: Host, machine: Machine) -> None:
        await prepare(host, machine)
        await host.machines.define(machine)
        with pytest.raises(GuestNotReady):
            await host.guests.host_key(machine.addresses.all[0])
        await host.machines.start(machine.server_id)
        keys = {await answer(host, address, self.patience) for address in machine.addresses.all}
        heartbeat = await host.guests.heartbeat(machine, self.patience)
        assert keys == {heartbeat.host_key}
        assert len(heartbeat.host_key.split()) == 2
        assert heartbeat.instance == machine.instance_id
        assert 0 <= heartbeat.uptime < self.patience
        await forget(host, machine.server_id)

    async def test_a_heartbeat_that_does_not_come_is_awaited_no_longer_than_asked(
        self, host: Host, machine: Machine
    ) -> None:
        await prepare(host, machine)
        await host.machines.define(machine)
        began = time.monotonic()
        with pytest.raises(GuestNotReady):
            await host.guests.heartbeat(machine, 0.1)
        assert time.monotonic() - began < 2
        await forget(host, machine.server_id)

    async def test_a_machine_shuts_down_and_starts_again_as_the_same(self, host: Host, machine: Machine) -> None:
        await boot(host, machine)
        key = await answer(host, machine.addresses.all[0], self.patience)
        assert await host.machines.shut_down(machine.server_id, self.patience)
        assert (await host.machines.states())[machine.server_id] == "off"
        assert await host.machines.shut_down(machine.server_id, self.patience)
        await host.machines.start(machine.server_id)
        assert await answer(host, machine.addresses.all[0], self.patience) == key
        await forget(host, machine.server_id)
        assert await host.machines.shut_down(machine.server_id, self.patience)

    async def test_defining_a_running_machine_again_does_not_stop_it(self, host: Host, machine: Machine) -> None:
        await boot(host, machine)
        await host.machines.define(machine)
        assert (await host.machines.held())[machine.server_id] is True
        await forget(host, machine.server_id)

    async def test_nics_come_and_go_with_memberships(self, host: Host, machine: Machine) -> None:
        first, both = machine.with_members((71,)), machine.with_members((71, 72))
        await host.machines.plug(machine.server_id, (71,))  # it is not known yet
        await prepare(host, first)
        await host.machines.define(first)
        with pytest.raises(PartsMissing):
            await host.machines.plug(machine.server_id, (71, 72))
        await host.ports.attach(plan_for(both))
        for _ in range(2):
            await host.machines.plug(machine.server_id, (71, 72))
        for _ in range(2):
            await host.machines.unplug(machine.server_id, (72,))
        await host.ports.attach(plan_for(machine.with_members((72,))))
        with pytest.raises(PartsMissing):
            await host.machines.define(first)
        await host.machines.define(machine.with_members((72,)))
        await forget(host, machine.server_id)
        await host.machines.unplug(machine.server_id, ())

    async def test_an_agent_is_heard_while_its_guest_runs(self, host: Host, machine: Machine) -> None:
        await boot(host, machine)
        await host.guests.heartbeat(machine, self.patience)
        assert (await host.guests.heard([machine.server_id, 999]))[machine.server_id] < self.patience
        await forget(host, machine.server_id)
        assert await host.guests.heard([]) == {}

    async def test_the_host_reports_the_room_it_has(self, host: Host) -> None:
        capacity, report = await host.facts.capacity(), await host.facts.report(7)
        assert report.host_id == 7
        assert (report.cores, report.memory_mib, report.disk_gib) == (
            capacity.cores,
            capacity.memory_mib,
            capacity.disk_gib,
        )
        assert min(capacity.cores, capacity.memory_mib, capacity.disk_gib) > 0
        assert report.free_memory_mib is not None
        assert 0 < report.free_memory_mib <= report.memory_mib
        assert report.free_disk_gib is not None
        assert 0 < report.free_disk_gib <= report.disk_gib
        assert all(0 <= load <= 1 for load in (report.cpu_busy, report.io_wait, report.net_saturation))
        assert {"puchify", "python"} <= report.facts["versions"].keys()
        assert report.facts["memory_total_mib"] >= report.memory_mib
        assert report.problems == []

    async def test_the_host_reports_its_images_and_what_it_promised(self, host: Host, machine: Machine) -> None:
        before = await host.facts.report(7)
        await prepare(host, machine)
        after = await host.facts.report(7)
        assert machine.image.digest in after.images
        promised = [report.facts["disk_promised_gib"] for report in (before, after)]
        assert promised == [promised[0], promised[0] + machine.resources.disk_gib]
        await forget(host, machine.server_id)
