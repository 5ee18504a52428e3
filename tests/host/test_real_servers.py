"""The whole story on the real host: an order becomes a machine that answers SSH, or nothing that is left."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncssh
import pytest
import pytest_asyncio
from temporalio.exceptions import ApplicationError

from infra.db import primary_ips
from infra.db.built_images import NewImage, register_image
from infra.db.primary_ips import NewPrimaryIp
from infra.domain.errors import HostFull, ImageUnusable
from infra.domain.models import Image, ServerOrder
from infra.drivers.protocols import Host
from tests.fix_region import NewRegion, Region, eventually, working_host
from tests.host.fix_host import RealHost, emptied, everything
from tests.host.traces import processes
from workers.region import region_worker
from workers.reports import Reports

SCRIPT = "#!/bin/sh\necho ran > /root/user-data-ran\n"
CLOUD_CONFIG = "#cloud-config\nruncmd:\n  - echo ran > /root/user-data-ran\n"


@dataclass
class RealRegion:
    """A region whose one host is real, and reports when it is told to."""

    region: Region
    host: Host
    reports: Reports
    key: asyncssh.SSHKey

    async def order(self, image: Image, user_data: str, server_type: str = "px1") -> ServerOrder:
        new = NewImage(image.name, image.digest, image.disk_gib, image.name, has_agent=image.has_agent)
        async with self.region.pool.connection() as connection:
            image_id = await register_image(connection, new)
        type_ = await self.region.one("SELECT id FROM server_types WHERE name = %s", server_type)
        assert type_ is not None
        line = self.key.export_public_key().decode().strip()
        return await self.region.order(
            image_id=image_id, server_type_id=type_["id"], authorized_keys=(line,), user_data=user_data
        )

    async def create(self, image: Image, user_data: str, server_type: str = "px1") -> ServerOrder:
        order = await self.order(image, user_data, server_type)
        await self.region.admit(order)
        assert await self.region.ended(order) is None
        return order

    @asynccontextmanager
    async def login(self, order: ServerOrder, type_: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """As root, with the owner's key, and only if the server shows the host key that was recorded."""
        server = await self.region.server(order)
        found = await self.region.one(
            "SELECT address FROM addresses WHERE server_id = %s AND type = %s", order.server_id, type_
        )
        assert server is not None
        assert found is not None
        address = found["address"].replace("::/64", "::1")
        known = asyncssh.import_known_hosts(f"{address} {server['host_key']}\n")
        async with asyncssh.connect(
            address, username="root", client_keys=[self.key], known_hosts=known, config=None, connect_timeout=30
        ) as connection:
            yield connection


@pytest_asyncio.fixture
async def real(new_region: NewRegion, real_host: RealHost) -> AsyncIterator[RealRegion]:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="owner")
    async with new_region(workers=False) as region, emptied(real_host) as host:
        (host_id,) = region.hosts
        async with (
            region_worker(region.client, region.pool, region.settings),
            working_host(region, host_id, hands=host) as reports,
        ):
            yield RealRegion(region, host, reports, key)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "user_data"), [("tiny", SCRIPT), ("tiny", CLOUD_CONFIG), ("debian", SCRIPT)])
async def test_a_server_is_what_was_ordered(
    real: RealRegion, name: str, user_data: str, request: pytest.FixtureRequest
) -> None:
    image: Image = request.getfixturevalue(name)
    order = await real.create(image, user_data, {"tiny": "px1", "debian": "px2"}[name])

    async with real.login(order, "ipv6") as ssh:
        assert await said(ssh, "hostname") == order.name
    async with real.login(order, "ipv4") as ssh:
        await eventually(lambda: ran(ssh))
        assert int(await said(ssh, "df -m / | awk 'END { print $2 }'")) > order.resources.disk_gib * 1024 * 0.85
        addresses = await said(ssh, "ip -o addr show dev eth0")
        assert "/32 " in addresses
        assert "::1/64 " in addresses
    await real.region.delete(order)
    assert await everything(real.host) == set()
    await real.region.assert_balanced()


@pytest.mark.timeout(600)
async def test_a_server_that_was_off_is_what_it_was(real: RealRegion, tiny: Image) -> None:
    """Pulled and plugged in again it has its disk, its addresses, and one that it got meanwhile; its guest obeys the
    power button."""
    order = await real.create(tiny, "")
    parts = await everything(real.host)
    async with real.login(order, "ipv4") as ssh:
        await said(ssh, "echo kept > /root/kept && sync")

    off = await real.region.done(order, "stop_server")
    assert (off["status"], await runs(real.host, order.server_id)) == ("off", False)
    assert await everything(real.host) == parts
    await get_another_address(real.region, order)
    on = await real.region.done(order, "start_server")

    assert on["status"] == "running"
    for type_ in ("ipv4", "ipv6"):
        assert await eventually(lambda type_=type_: kept(real, order, type_), 300, every=1) == "kept"
    async with real.login(order, "ipv4") as ssh:
        before = await said(ssh, "cat /proc/sys/kernel/random/boot_id")
    await real.region.done(order, "reboot_server")
    assert await eventually(lambda: kept(real, order, "ipv4"), 300, every=1) == "kept"
    async with real.login(order, "ipv4") as ssh:
        assert await said(ssh, "cat /proc/sys/kernel/random/boot_id") != before
    await real.region.command(order, "shutdown_server")
    await eventually(lambda: is_off(real, order))
    await real.region.delete(order)
    assert await everything(real.host) == set()


@pytest.mark.timeout(600)
async def test_what_a_guest_or_an_accident_does_to_a_machine_is_known(
    real: RealRegion, real_host: RealHost, tiny: Image
) -> None:
    """A guest that turns itself off is off; a machine whose process is killed is brought up again."""
    order = await real.create(tiny, "")
    await real.reports.round()
    async with real.login(order, "ipv4") as ssh:
        await ssh.run("poweroff")
    await eventually(lambda: told_off(real, order), 120, every=1)
    assert not await runs(real.host, order.server_id)

    assert (await real.region.done(order, "start_server"))["status"] == "running"
    await real.reports.round()  # from then on it is at rest
    os.kill(processes(real_host)[order.server_id], signal.SIGKILL)
    await eventually(lambda: told_unknown(real, order), 120, every=1)
    await real.reports.round()
    assert await runs(real.host, order.server_id)
    await eventually(lambda: told_running(real, order), 120, every=1)
    await real.region.delete(order)
    assert await everything(real.host) == set()


async def told_off(real: RealRegion, order: ServerOrder) -> bool:
    await real.reports.round()
    return await is_off(real, order)


async def told_unknown(real: RealRegion, order: ServerOrder) -> bool:
    await real.reports.tell()
    return await status_of(real, order) == "unknown"


async def told_running(real: RealRegion, order: ServerOrder) -> bool:
    await real.reports.tell()
    return await status_of(real, order) == "running"


async def status_of(real: RealRegion, order: ServerOrder) -> str | None:
    server = await real.region.server(order)
    return server["status"] if server else None


async def get_another_address(region: Region, order: ServerOrder) -> None:
    """Another IPv4 address in place of the one that it has."""
    new = NewPrimaryIp(region.project_id, "other", "ipv4", region.location_id, region.location, False, {})
    own = "SELECT primary_ip_id AS id FROM addresses WHERE server_id = %s AND type = 'ipv4'"
    held = await region.one(own, order.server_id)
    assert held is not None
    async with region.pool.connection() as connection, connection.transaction():
        await primary_ips.unassign(connection, region.project_id, held["id"])
        other = await primary_ips.create(connection, new, 0)
        await primary_ips.assign(connection, region.project_id, other, order.server_id)


async def kept(real: RealRegion, order: ServerOrder, type_: str) -> str | None:
    """What was written before it was off; None while it does not answer."""
    try:
        async with real.login(order, type_) as ssh:
            return await said(ssh, "cat /root/kept")
    except (OSError, asyncssh.Error):
        return None


async def is_off(real: RealRegion, order: ServerOrder) -> bool:
    server = await real.region.server(order)
    return server is not None and server["status"] == "off" and not await runs(real.host, order.server_id)


@pytest.mark.parametrize(
    ("hand", "step", "error"), [("disks", "create", ImageUnusable), ("machines", "start", HostFull)]
)
async def test_a_step_that_fails_for_good_leaves_nothing_on_the_host(
    real: RealRegion, tiny: Image, monkeypatch: pytest.MonkeyPatch, hand: str, step: str, error: type[Exception]
) -> None:
    """After its effect: the real step is done, and then its answer is a failure."""
    hands: Any = getattr(real.host, hand)
    works = getattr(hands, step)

    async def fail_afterwards(*arguments: Any) -> None:
        await works(*arguments)
        raise error("it was refused")

    monkeypatch.setattr(hands, step, fail_afterwards)
    order = await real.order(tiny, "")
    await real.region.admit(order)

    ended = await real.region.ended(order)

    assert isinstance(ended, ApplicationError)
    assert (await real.region.action(order))["status"] == "error"
    assert await everything(real.host) == set()
    await real.region.assert_nothing_left(order)


async def test_a_delete_while_the_real_guest_boots(real: RealRegion, tiny: Image) -> None:
    order = await real.order(tiny, "")
    await real.region.admit(order)
    await eventually(lambda: runs(real.host, order.server_id))

    await real.region.delete(order)

    assert await everything(real.host) == set()
    await real.region.assert_nothing_left(order)


async def runs(host: Host, server_id: int) -> bool:
    return (await host.machines.held()).get(server_id, False)


async def said(ssh: asyncssh.SSHClientConnection, command: str) -> str:
    done = await ssh.run(command, check=True)
    return str(done.stdout).strip()


async def ran(ssh: asyncssh.SSHClientConnection) -> bool:
    done = await ssh.run("cat /root/user-data-ran")
    return str(done.stdout).strip() == "ran"
