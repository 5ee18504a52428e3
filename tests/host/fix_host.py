"""A real host for the session: taps and rules in the session's own network, disks on an XFS, a libvirtd of its own.

Nothing of it is shared with the machine, and all of it is gone afterwards. Guest images are built once and cached.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from infra.domain.models import Addresses, Image, Machine, Resources
from infra.drivers.libvirtd import PrivateLibvirtd
from infra.drivers.ports import HostNetwork, HostPorts
from infra.drivers.protocols import Host
from infra.drivers.real import LibvirtHost, open_libvirt_host
from infra.drivers.store.mount import ImageStore
from infra.drivers.xfs import HostStorage
from infra.guests.build import GuestImage, ensure_image
from infra.runtime_dir import RuntimeDir
from tests.fix_netns import outside
from workers.processes import Process, Supervisor

POOLS = ("10.77.0.0/24", "2001:db8:77::/48")
IMAGE = Image(id=1, name="tiny", digest="0" * 64, architecture="x86", disk_gib=1, has_agent=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the images before the first test, outside: it takes a minute, and the packages come from the network."""
    if session.config.option.collectonly:
        return
    for fixture, name in (("tiny", "tiny"), ("debian", "debian-13")):
        if any(fixture in getattr(item, "fixturenames", ()) for item in session.items):
            outside(partial(ensure_image, name, log=print))


def machine_of(server_id: int, image: Image = IMAGE, disk_gib: int = 1, memory_mib: int = 256) -> Machine:
    return Machine(
        server_id=server_id,
        epoch=1,
        host_id=1,
        name=f"test{server_id}",
        resources=Resources(cores=1, memory_mib=memory_mib, disk_gib=disk_gib),
        image=image,
        addresses=Addresses(f"10.77.0.{server_id}", f"2001:db8:77:{server_id:x}::/64"),
    )


def image_of(guest: GuestImage, digest: str) -> Image:
    return Image(1, guest.name, digest, "x86", guest.min_disk_gb, guest.has_agent)


@pytest.fixture
async def ports(private_network: None) -> AsyncIterator[HostPorts]:
    ports = HostPorts(HostNetwork(pools=POOLS))
    await ports.open()
    yield ports
    for server_id in await ports.held():
        await ports.detach(server_id)
    await ports.close()


@dataclass(frozen=True)
class RealHost:
    """Where a host worker finds what it drives, and how its libvirtd is killed."""

    options: LibvirtHost
    store: Path
    libvirtd: PrivateLibvirtd
    supervisor: Supervisor
    pid_dir: Path

    def pid(self) -> int:
        return int((self.pid_dir / "libvirtd.pid").read_text().split()[0])


@pytest_asyncio.fixture(scope="session")
async def real_host(private_network: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealHost]:
    """Storage and libvirtd at work; images are added by who needs them."""
    state = tmp_path_factory.mktemp("host")
    store = state / "store"
    with RuntimeDir(state) as runtime:
        storage = HostStorage(runtime.directory("host"), state / "host.xfs", size_gib=40)
        storage.directory.chmod(0o711)
        storage.open()
        libvirtd = PrivateLibvirtd(runtime.bind(state / "libvirt", "libvirt"))
        libvirtd.prepare()
        libvirtd.home.chmod(0o711)
        async with Supervisor(state / "pids", print) as supervisor:
            await supervisor.start(Process("libvirtd", libvirtd.argv(), state / "libvirtd.log", ready=libvirtd.ready))
            options = LibvirtHost(
                storage.directory, runtime.path, ImageStore(store, settle=0), libvirtd.uri, HostNetwork(pools=POOLS)
            )
            yield RealHost(options, store, libvirtd, supervisor, state / "pids")
        storage.close()
    shutil.rmtree(state, ignore_errors=True)


@pytest_asyncio.fixture
async def hands(real_host: RealHost) -> AsyncIterator[Host]:
    """The real host's hands. Whatever a test leaves is taken away."""
    async with emptied(real_host) as host:
        yield host


@asynccontextmanager
async def emptied(real: RealHost) -> AsyncIterator[Host]:
    async with open_libvirt_host(real.options) as host:
        try:
            yield host
        finally:
            for server_id in await everything(host):
                await host.machines.destroy(server_id)
                await host.ports.detach(server_id)
                await host.seeds.remove(server_id)
                await host.disks.remove(server_id)


async def everything(host: Host) -> set[int]:
    machines, ports = await host.machines.held(), await host.ports.held()
    return {*machines, *ports, *await host.disks.held(), *await host.seeds.held()}


@pytest.fixture(scope="session")
def tiny(real_host: RealHost) -> Image:
    return _stored(real_host, "tiny")


@pytest.fixture(scope="session")
def debian(real_host: RealHost) -> Image:
    return _stored(real_host, "debian-13")


def _stored(real: RealHost, name: str) -> Image:
    """In a thread: a test that runs already may ask for it."""
    guest = outside(partial(ensure_image, name))
    publishing = ImageStore(real.store, settle=0).publish(guest.directory, lambda _: None)
    with ThreadPoolExecutor(1) as thread:
        published = thread.submit(asyncio.run, publishing).result()
    return image_of(guest, published.digest)
