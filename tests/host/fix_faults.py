"""A deployment on the real host: API, region worker and host worker as processes, the latter stopped where asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import asyncssh
import pytest_asyncio

from infra.db.built_images import NewImage, register_image
from infra.domain.models import Image, ServerOrder
from infra.drivers.protocols import Host
from infra.drivers.store.mount import ImageStore
from tests.fix_deployment import Deployment, free_url
from tests.fix_region import NewRegion
from tests.host.fix_host import RealHost, emptied
from tests.host.held_worker import Holds
from workers.processes import Process, Supervisor

Victim = Literal["worker", "libvirtd"]
PATIENCE = 1.0
"""Factor on the steps' timeouts: a step that is held has time until the last of them is."""


@dataclass(kw_only=True)
class RealDeployment(Deployment):
    """``host``: the test's own hands on the same host, to look at what is there."""

    real: RealHost
    host: Host
    holds: Holds
    key: asyncssh.SSHKey

    def process(self, name: str) -> Process:
        process, options = super().process(name), self.real.options
        env = {**process.env, "PUCHIFY_TIMEOUT_FACTOR": str(PATIENCE)}
        if name != "host":
            return replace(process, env=env)
        settings = {
            "HOST": "libvirt",
            "HOST_PATH": options.root,
            "HOST_RUN": options.run,
            "IMAGE_STORE": self.real.store,
            "LIBVIRT_URI": options.uri,
            "ADDRESS_POOLS": json.dumps(options.network.pools),
        }
        env.update({f"PUCHIFY_{name}": str(value) for name, value in settings.items()})
        env["HOLDS"] = str(self.holds.directory)
        return replace(process, argv=(sys.executable, "-m", "tests.host.held_worker"), env=env)

    def strike(self, victim: Victim) -> None:
        """kill -9; a supervisor starts it again."""
        os.kill(self.real.pid() if victim == "libvirtd" else self.pid("host"), signal.SIGKILL)

    async def order(self, image: Image, start: bool) -> ServerOrder:  # type: ignore[override]
        new = NewImage(image.name, image.digest, image.disk_gib, image.name, has_agent=image.has_agent)
        async with self.region.pool.connection() as connection:
            image_id = await register_image(connection, new)
        line = self.key.export_public_key().decode().strip()
        return await self.region.order(image_id=image_id, start=start, authorized_keys=(line,))

    async def admit(self, order: ServerOrder) -> None:
        admission = await self.region.admit(order)
        assert admission.refused is None, admission.refused

    async def boot_id(self, order: ServerOrder) -> str:
        return await self.said(order, "cat /proc/sys/kernel/random/boot_id")

    async def told_name(self, order: ServerOrder) -> str:
        """What the host tells the guest that it is called."""
        return await self.said(order, "wget -qO- http://169.254.169.254/hetzner/v1/metadata/hostname")

    async def said(self, order: ServerOrder, command: str) -> str:
        """Asked of the guest itself, by SSH: with the owner's key, and only of the host key that was recorded."""
        found = await self.region.one(
            "SELECT s.host_key, a.address FROM servers s JOIN addresses a ON a.server_id = s.id"
            " WHERE s.id = %s AND a.type = 'ipv4'",
            order.server_id,
        )
        assert found is not None
        known = asyncssh.import_known_hosts(f"{found['address']} {found['host_key']}\n")
        async with asyncssh.connect(
            found["address"],
            username="root",
            client_keys=[self.key],
            known_hosts=known,
            config=None,
            connect_timeout=60,
            login_timeout=60,
        ) as ssh:
            done = await ssh.run(command, check=True)
        return str(done.stdout).strip()


@pytest_asyncio.fixture
async def real_deployment(new_region: NewRegion, real_host: RealHost, tmp_path: Path) -> AsyncIterator[RealDeployment]:
    """All three at work."""
    holds = Holds(tmp_path / "holds")
    holds.directory.mkdir()
    holds.prepare()
    key = asyncssh.generate_private_key("ssh-ed25519", comment="owner")
    async with (
        new_region(workers=False) as region,
        emptied(real_host) as host,
        Supervisor(tmp_path / "pids", print) as supervisor,
    ):
        await region.execute("UPDATE hosts SET overcommit = 16 WHERE location_id = %s", region.location_id)
        deployment = RealDeployment(
            region, supervisor, tmp_path, [free_url()], real=real_host, host=host, holds=holds, key=key
        )
        await deployment.start()
        yield deployment


@pytest_asyncio.fixture
async def uncached(real_host: RealHost, tiny: Image, tmp_path: Path) -> Image:
    """An image that boots as well as `tiny` and that the host has not fetched yet."""
    copy = tmp_path / "uncached"
    store = ImageStore(real_host.store, settle=0)
    copy.mkdir()
    await store.fetch(tiny.digest, copy, lambda _: None)
    disk = os.open(copy / "disk.raw", os.O_WRONLY)
    os.write(disk, os.urandom(64))  # where the code of a boot record would be, which nobody runs
    os.close(disk)
    published = await store.publish(copy, lambda _: None)
    shutil.rmtree(copy)
    return replace(tiny, name="uncached", digest=published.digest)
