"""Images that owners made with their own tools: uploaded, they boot on the real host, by firmware and their own boot
loader, and answer to their owner's key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import asyncssh
import pytest
import pytest_asyncio

from infra.drivers.protocols import Host
from infra.guests.build import ensure_image
from tests.fix_api import serving_api
from tests.fix_region import NewRegion, working_host
from tests.host.fix_host import RealHost, emptied, everything
from tests.imports.disks import Kind, sha256
from tests.imports.fix_imports import Owner, owner_of
from workers.region import region_worker


@pytest_asyncio.fixture
async def uploader(new_region: NewRegion, real_host: RealHost) -> AsyncIterator[tuple[Owner, Host]]:
    """An owner in a region whose one host is real, and takes its images from where they are brought."""
    async with new_region(workers=False) as region, emptied(real_host) as host:
        region.settings = region.settings.model_copy(update={"image_store": real_host.store})
        (host_id,) = region.hosts
        async with (
            region_worker(region.client, region.pool, region.settings),
            working_host(region, host_id, hands=host),
            serving_api(region) as api,
        ):
            yield owner_of(api), host


@pytest.mark.timeout(600)
async def test_a_guest_that_was_uploaded_answers_its_owner(
    uploader: tuple[Owner, Host], tiny: object, tmp_path: Path
) -> None:
    owner, host = uploader
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = key.export_public_key().decode().strip()
    (await owner.http.post("/ssh_keys", json={"name": "own", "public_key": line})).raise_for_status()
    disk = ensure_image("tiny").directory / "disk.raw"

    async def live(kind: Kind) -> list[str]:
        content = await made(disk, kind, tmp_path / kind)
        name = f"own-{kind.lower()}"
        image = await owner.bring_in(content, name=name, sha256=sha256(content), size=len(content))
        server = await created(owner, name)
        assert server["image"]["id"] == image["id"]
        hostname, megabytes = (await said(server, key, "hostname && df -m / | awk 'END { print $2 }'")).split()
        assert int(megabytes) > server["server_type"]["disk"] * 1024 * 0.85  # it has grown to what was ordered
        return [hostname, name]

    told = await asyncio.gather(*(live(kind) for kind in get_args(Kind)))

    assert all(hostname == name for hostname, name in told)
    for one in (await owner.http.get("/servers")).json()["servers"]:
        deleted = (await owner.http.delete(f"/servers/{one['id']}")).json()["action"]
        await owner.region.client.get_workflow_handle(f"server-{one['id']}-delete").result()
        assert deleted["command"] == "delete_server"
    assert await everything(host) == set()


async def made(disk: Path, kind: Kind, target: Path) -> bytes:
    """The guest's disk as a file of that kind, by qemu-img."""
    options = ("-O", "vmdk", "-o", "subformat=streamOptimized") if kind == "streamOptimized" else ("-O", kind)
    run = await asyncio.create_subprocess_exec("qemu-img", "convert", "-f", "raw", *options, disk, target)
    assert await run.wait() == 0
    return await asyncio.to_thread(target.read_bytes)


async def created(owner: Owner, name: str) -> dict[str, Any]:
    body = {"name": name, "server_type": "px1", "image": name, "location": owner.region.location}
    ordered = (await owner.http.post("/servers", json=body)).json()
    await owner.region.client.get_workflow_handle(f"server-{ordered['server']['id']}-provision").result()
    server: dict[str, Any] = (await owner.http.get(f"/servers/{ordered['server']['id']}")).json()["server"]
    assert server["status"] == "running"
    return server


async def said(server: dict[str, Any], key: asyncssh.SSHKey, command: str) -> str:
    """As root, with the owner's key, and only if the server shows the host key that was recorded."""
    address = server["public_net"]["ipv4"]["ip"]
    known = asyncssh.import_known_hosts(f"{address} {server['host_key']}\n")
    async with asyncssh.connect(
        address, username="root", client_keys=[key], known_hosts=known, config=None, connect_timeout=60
    ) as ssh:
        return str((await ssh.run(command, check=True)).stdout)
