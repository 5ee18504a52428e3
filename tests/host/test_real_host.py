"""The real host keeps the contract of a host, and what only a real one can lose."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import ClassVar

import pytest

from infra.domain.models import Image, Machine
from infra.drivers.protocols import Host
from tests.drivers.host_contract import HostContract, answer, boot
from tests.fix_region import eventually
from tests.host.fix_host import RealHost, everything, machine_of


class TestRealHost(HostContract):
    patience: ClassVar[float] = 120

    @pytest.fixture
    def host(self, hands: Host) -> Host:
        return hands

    @pytest.fixture
    def image(self, tiny: Image) -> Image:
        return tiny

    @pytest.fixture
    def machine(self, image: Image) -> Machine:
        return machine_of(7, image)


async def test_a_guest_answers_on_both_addresses_with_its_own_key(hands: Host, tiny: Image) -> None:
    machine = machine_of(9, tiny)
    await boot(hands, machine)

    keys = [await answer(hands, address, 120) for address in machine.addresses.all]
    heartbeat = await hands.guests.heartbeat(machine, 30)

    assert keys == [heartbeat.host_key] * 2
    assert heartbeat.instance == machine.instance_id


async def test_a_killed_libvirtd_is_found_again_with_its_guests(hands: Host, real_host: RealHost, tiny: Image) -> None:
    machine = machine_of(11, tiny)
    await boot(hands, machine)

    os.kill(real_host.pid(), signal.SIGKILL)
    await eventually(lambda: _again(hands, machine.server_id))

    await answer(hands, machine.addresses.all[0], 120)
    await hands.machines.destroy(machine.server_id)
    assert await hands.machines.held() == {}


async def test_nothing_is_left_when_all_is_removed(hands: Host, tiny: Image) -> None:
    machine = machine_of(12, tiny)
    await boot(hands, machine)
    for remove in (hands.machines.destroy, hands.ports.detach, hands.seeds.remove, hands.disks.remove):
        await remove(machine.server_id)

    assert await everything(hands) == set()
    links = await asyncio.to_thread(subprocess.check_output, ("ip", "-o", "link"), text=True)
    assert "pt" not in {line.split()[1][:2] for line in links.splitlines()}


async def _again(host: Host, server_id: int) -> bool:
    from infra.domain.errors import HostUnavailable

    try:
        return (await host.machines.held()) == {server_id: True}
    except HostUnavailable:
        return False
