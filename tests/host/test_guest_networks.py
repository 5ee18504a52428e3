"""A real guest in private networks: from its boot on, as they come and go while it runs, and what it then hears."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import asyncssh
import pytest

from infra.domain.metadata import METADATA
from infra.domain.models import Image, Machine
from infra.domain.port_names import private_tap_name
from infra.domain.port_plan import PortPlan
from infra.domain.seed import Surroundings, seed_of
from infra.drivers import real
from infra.drivers.loose_ends import LooseEnds
from infra.drivers.machines import LibvirtMachines
from infra.drivers.ports import HostPorts
from infra.drivers.protocols import Host
from tests.drivers.host_contract import answer, ignored, run
from tests.fix_region import eventually
from tests.host.fix_host import machine_of
from tests.network.fix_metadata import Books
from tests.port_plans import member_port, plan_for
from workers.metadata import Metadata

SHOP = member_port(71, aliases=("10.8.9.9",))
SIDE = member_port(72, vni=5002, ip_range="192.168.0.0/24")
LATE = member_port(73, vni=5003, ip_range="172.20.0.0/16", aliases=("172.20.9.9",))


@asynccontextmanager
async def metadata_of(books: Books) -> AsyncIterator[Metadata]:
    metadata = books.metadata()
    keeping = asyncio.create_task(metadata.keep_on())
    try:
        yield metadata
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def start(host: Host, machine: Machine, plan: PortPlan, key: asyncssh.SSHKey) -> None:
    line = key.export_public_key().decode().strip()
    await host.images.ensure(machine.image, ignored)
    await asyncio.gather(
        host.disks.create(machine.server_id, machine.image, machine.resources.disk_gib),
        host.seeds.write(machine.server_id, seed_of(machine, plan, [line], "", "", Surroundings())),
        host.ports.attach(plan),
    )
    await run(host, machine)


async def said(ssh: asyncssh.SSHClientConnection, command: str) -> str:
    return str((await ssh.run(command, check=True)).stdout)


async def shows(ssh: asyncssh.SSHClientConnection, *texts: str) -> bool:
    shown = await said(ssh, "ip -o -4 addr")
    return all(text in shown for text in texts)


async def at_the_host(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    return done.stdout


async def hears(ssh: asyncssh.SSHClientConnection, tap: str, of: str) -> bool:
    """Whether anything ever came in by the tap, when the guest asks for an address of its network."""
    await ssh.run(f"ping -c 1 -W 1 {of}")
    (link,) = json.loads(await at_the_host("ip", "-j", "-s", "link", "show", tap))
    return bool(link["stats64"]["rx"]["packets"])


@pytest.mark.timeout(600)
async def test_a_guest_has_its_networks_at_boot_and_later(
    hands: Host, tiny: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "CARE_EVERY", 3600.0)  # what is broken here is mended when the test says so
    key, books = asyncssh.generate_private_key("ssh-ed25519"), Books()
    machine = machine_of(31, tiny).with_members((71, 72))
    plan = plan_for(machine, SHOP, SIDE)
    books.add(plan, hostname=machine.name)
    async with metadata_of(books) as metadata:
        await start(hands, machine, plan, key)
        address = machine.addresses.all[0]
        await answer(hands, address, 240)
        async with asyncssh.connect(address, username="root", client_keys=[key], known_hosts=None, config=None) as ssh:
            assert await shows(ssh, "inet 10.8.0.71/16", "inet 10.8.9.9/32", "inet 192.168.0.72/24")
            for of in ("169.254.169.254", "[fe80::1%eth0]"):
                assert await said(ssh, f"wget -qO- http://{of}{METADATA}/hostname") == machine.name

            more = plan_for(machine, SHOP, SIDE, LATE)
            books.add(more, hostname=machine.name)
            await hands.ports.attach(more)
            await hands.machines.plug(machine.server_id, more.members)
            metadata.changed(machine.server_id)
            await eventually(lambda: shows(ssh, "inet 172.20.0.73/16", "inet 172.20.9.9/32"), 60, every=0.5)
            assert "mtu 1450" in await said(ssh, "ip link show dev eth3")

            ports = cast(HostPorts, hands.ports)
            await at_the_host("ip", "link", "del", private_tap_name(72))
            assert await ports.mend() == {machine.server_id}
            assert not await hears(ssh, private_tap_name(72), "192.168.0.99")
            await LooseEnds(ports, cast(LibvirtMachines, hands.machines)).join()
            await eventually(lambda: hears(ssh, private_tap_name(72), "192.168.0.99"), 60, every=0.5)
