"""The real host keeps the contract of a host, and what only a real one can lose."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import ClassVar
from xml.etree import ElementTree as ET

import pytest

from infra.domain.domain_xml import domain_name, member_of_mac
from infra.domain.models import Image, Machine
from infra.drivers.libvirt_connection import LibvirtConnection
from infra.drivers.protocols import Host
from tests.drivers.host_contract import HostContract, answer, boot
from tests.fix_region import eventually
from tests.host.fix_host import RealHost, everything, machine_of
from tests.port_plans import plan_for


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


async def test_a_running_guest_takes_and_gives_back_a_nic(hands: Host, real_host: RealHost, tiny: Image) -> None:
    machine = machine_of(13, tiny).with_members((71,))
    await boot(hands, machine)
    await answer(hands, machine.addresses.all[0], 120)
    assert await _nics(real_host, machine) == {71}

    await hands.ports.attach(plan_for(machine.with_members((71, 72))))
    await hands.machines.plug(machine.server_id, (71, 72))
    assert await _nics(real_host, machine) == {71, 72}

    await hands.machines.unplug(machine.server_id, (72,))  # for as long as it has its driver, a guest has to let go
    await eventually(lambda: _has_nics(real_host, machine, {72}))
    await hands.ports.attach(plan_for(machine.with_members((72,))))
    await hands.machines.define(machine.with_members((72,)))
    await answer(hands, machine.addresses.all[0], 30)


async def _has_nics(real: RealHost, machine: Machine, members: set[int]) -> bool:
    return await _nics(real, machine) == members


async def _nics(real: RealHost, machine: Machine) -> set[int]:
    """Of the machine that runs."""
    connection = LibvirtConnection(real.options.uri)
    try:
        name = domain_name(machine.server_id)
        xml = await asyncio.to_thread(connection.do, lambda libvirt: libvirt.lookupByName(name).XMLDesc())
    finally:
        connection.close()
    macs = [mac.get("address", "") for mac in ET.fromstring(xml).iterfind("devices/interface/mac")]
    return {member for mac in macs if (member := member_of_mac(mac)) is not None}
