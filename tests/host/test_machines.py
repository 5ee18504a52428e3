"""The hypervisor when it does not behave: a libvirtd that hangs, machines that end or pause by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import libvirt
import pytest
import pytest_asyncio

from infra.domain.domain_xml import domain_name
from infra.domain.errors import HostUnavailable
from infra.domain.models import Image, Machine
from infra.domain.port_names import tap_name
from infra.drivers import libvirt_connection
from infra.drivers.consoles import shorten
from infra.drivers.libvirt_connection import LibvirtConnection
from infra.drivers.protocols import Host
from tests.drivers.host_contract import forget, prepare
from tests.fix_region import eventually
from tests.host.fix_host import RealHost, machine_of
from tests.host.traces import processes


@pytest.fixture
def machine(tiny: Image) -> Machine:
    return machine_of(31, tiny)


@pytest_asyncio.fixture
async def defined(hands: Host, machine: Machine) -> AsyncIterator[Machine]:
    await prepare(hands, machine)
    await hands.machines.define(machine)
    yield machine
    await forget(hands, machine.server_id)


async def test_a_libvirtd_that_hangs_is_given_up_and_found_again(real_host: RealHost) -> None:
    patience = patch.multiple(libvirt_connection, KEEPALIVE=1, MISSED=1, OPENING=1.0)
    with patience:
        connection = LibvirtConnection(real_host.options.uri)
        assert await asyncio.to_thread(connection.do, _count) >= 0
        os.kill(real_host.pid(), signal.SIGSTOP)
        try:
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(HostUnavailable):
                    await asyncio.to_thread(connection.do, _count)
                assert time.monotonic() - began < 60
        finally:
            os.kill(real_host.pid(), signal.SIGCONT)
        assert await asyncio.to_thread(connection.do, _count) >= 0
        connection.close()


async def test_no_libvirtd_is_a_host_that_is_not_available() -> None:
    connection = LibvirtConnection("qemu+unix:///system?socket=/nonexistent")
    with pytest.raises(HostUnavailable):
        await asyncio.to_thread(connection.do, _count)
    connection.close()


async def test_a_paused_machine_is_started_by_going_on(hands: Host, real_host: RealHost, defined: Machine) -> None:
    await hands.machines.start(defined.server_id)
    await asyncio.to_thread(_pause, real_host.options.uri, defined.server_id)
    assert await hands.machines.states() == {defined.server_id: "paused"}
    await hands.machines.start(defined.server_id)
    assert await asyncio.to_thread(_state, real_host.options.uri, defined.server_id) == libvirt.VIR_DOMAIN_RUNNING


async def test_a_guest_that_ignores_the_power_button_is_reported(hands: Host, defined: Machine) -> None:
    await hands.machines.start(defined.server_id)
    began = time.monotonic()
    assert not await hands.machines.shut_down(defined.server_id, 0.5)  # its kernel is not there yet
    assert time.monotonic() - began < 60
    assert await hands.machines.held() == {defined.server_id: True}


async def test_a_machine_whose_process_is_killed_has_crashed(
    hands: Host, real_host: RealHost, defined: Machine
) -> None:
    await hands.machines.start(defined.server_id)
    os.kill(processes(real_host)[defined.server_id], signal.SIGKILL)

    async def crashed() -> bool:
        return await hands.machines.states() == {defined.server_id: "crashed"}

    await eventually(crashed)
    route = await asyncio.to_thread(subprocess.check_output, ["ip", "route", "show", str(defined.addresses.ipv4)])
    assert tap_name(defined.server_id).encode() in route, "the tap is the host's: what is sent there ends here"
    await hands.machines.start(defined.server_id)
    assert await hands.machines.states() == {defined.server_id: "running"}


async def test_a_machine_nobody_defined_is_not_started(hands: Host) -> None:
    with pytest.raises((HostUnavailable, LookupError), match="known"):
        await hands.machines.start(99)


async def test_a_console_is_kept_short_under_its_writer(tmp_path: Path) -> None:
    with (tmp_path / "1.log").open("ab", buffering=0) as qemu:
        qemu.write(b"x" * 5000 + b"the end")
        shorten(tmp_path, longest=10_000, kept=100)
        assert (tmp_path / "1.log").stat().st_size == 5007
        shorten(tmp_path, longest=1000, kept=100)
        qemu.write(b" and more")
    kept = (tmp_path / "1.log").read_bytes()
    assert kept.endswith(b"xxthe end and more")
    assert len(kept) == 109


async def test_held_and_destroy_do_not_disturb_each_other(hands: Host, defined: Machine) -> None:
    for _ in range(3):
        await hands.machines.start(defined.server_id)
        await asyncio.gather(hands.machines.destroy(defined.server_id), *(hands.machines.held() for _ in range(20)))
        assert await hands.machines.held() == {}
        await hands.machines.define(defined)


def _count(connection: libvirt.virConnect) -> int:
    return len(connection.listAllDomains())


def _pause(uri: str, server_id: int) -> None:
    libvirt.open(uri).lookupByName(domain_name(server_id)).suspend()


def _state(uri: str, server_id: int) -> int:
    return int(libvirt.open(uri).lookupByName(domain_name(server_id)).state()[0])
