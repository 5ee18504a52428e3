"""The ground of real guests: storage that clones, a libvirtd of our own, and an image to begin with.

Guests of a killed run live on: the storage is still mounted where it was, and the new libvirtd finds them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from infra.config import Settings
from infra.db.built_images import NewImage
from infra.drivers.libvirtd import PrivateLibvirtd, kvm_usable
from infra.drivers.reflink import can_clone
from infra.drivers.xfs import HostStorage
from infra.runtime_dir import RuntimeDir
from workers.local.ground import PATIENCE
from workers.local.images import build_into_store
from workers.local.place import Place, unless_chosen
from workers.local.rest import put_to_rest
from workers.processes import Process, Supervisor
from workers.progress import Teller
from workers.wiring import open_host

IMAGE = "tiny"
EMULATED = (
    "KVM cannot be used here (`puchify doctor` says why): guests are emulated (TCG). All works, some ten times slower."
)


class LibvirtGround:
    """Paths lie in the runtime directory: QEMU's user reaches them there, and sockets have short names."""

    def __init__(
        self, asked: Settings, settings: Settings, runtime: RuntimeDir, supervisor: Supervisor, teller: Teller
    ) -> None:
        self._supervisor = supervisor
        self._teller = teller
        self._place = place = Place(runtime.state)
        directory = asked.host_path.absolute() if "host_path" in asked.model_fields_set else _directory(runtime)
        self._storage = HostStorage(directory, place.state / "host.xfs", settings.host_disk_gib)
        # What it found out about QEMU is kept: finding out takes it four seconds.
        self._libvirtd = PrivateLibvirtd(runtime.bind(place.libvirt, "libvirt"))
        self._started = False
        ours = {
            "host_path": directory,
            "host_run": runtime.path / "host-run",
            "libvirt_uri": self._libvirtd.uri,
        }
        self.settings = settings.model_copy(update=unless_chosen(asked, ours))

    async def prepare(self) -> NewImage:
        if not kvm_usable():
            self._teller.say(EMULATED)
        image, _ = await asyncio.gather(asyncio.to_thread(self._build), self.open())
        return image

    async def clear(self, hurry: asyncio.Event) -> int:
        """Everything that can hold a mount ends before it is unmounted."""
        ended = 0
        if self._started:
            async with open_host(self.settings) as host:
                ended = await put_to_rest(host, PATIENCE, hurry)
            await self._supervisor.stop("libvirtd")
        await asyncio.to_thread(self._storage.close)
        return ended

    def _build(self) -> NewImage:
        with self._teller.timed(f"image {IMAGE}"):
            return build_into_store(IMAGE, self.settings, self._teller.say)

    async def open(self) -> None:
        """Storage and libvirtd, with whatever guests a killed run left there."""
        with self._teller.timed("storage and libvirt"):
            # In this order: libvirtd sees what is mounted when it starts, in a mount namespace of its own.
            await asyncio.to_thread(self._storage.open)
            await asyncio.to_thread(self._libvirtd.prepare)
            process = Process(
                "libvirtd", self._libvirtd.argv(), self._place.log("libvirtd"), ready=self._libvirtd.ready
            )
            await self._supervisor.start(process)
            self._started = True


def _directory(runtime: RuntimeDir) -> Path:
    """Where disks are seen: the state itself where it can clone, else a mount point for a file system that can."""
    if can_clone(runtime.state):
        directory = runtime.bind(runtime.state / "host", "host")
        directory.chmod(0o711)  # QEMU's user passes through
        return directory
    return runtime.path / "host"
