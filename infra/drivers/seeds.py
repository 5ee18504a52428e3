"""One NoCloud volume a server: an ISO 9660 image with the label ``cidata``, which cloud-init finds by that name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO

from pycdlib import PyCdlib

from infra.domain.seed import Seed
from infra.drivers.disks import storage_errors
from infra.drivers.layout import HostLayout, servers_in
from infra.drivers.threads import KeyedLocks, run

LABEL = "cidata"


class IsoSeeds:
    def __init__(self, layout: HostLayout) -> None:
        self._layout = layout
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="seeds")
        self._locks = KeyedLocks[int]()

    async def write(self, server_id: int, seed: Seed) -> None:
        async with self._locks.hold(server_id):
            await run(self._threads, partial(self._write, server_id, seed))

    async def remove(self, server_id: int) -> None:
        async with self._locks.hold(server_id):
            await run(self._threads, partial(self._remove, server_id))

    async def held(self) -> set[int]:
        return await run(self._threads, self._held)

    def _write(self, server_id: int, seed: Seed) -> None:
        """The file has the owner's secrets in it: nobody but root, and QEMU while it runs, may read it."""
        target = self._layout.seed(server_id)
        unfinished = self._layout.unfinished(target)
        with storage_errors():
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(iso_of(seed))
            unfinished.rename(target)

    def _remove(self, server_id: int) -> None:
        target = self._layout.seed(server_id)
        with storage_errors():
            for path in (target, self._layout.unfinished(target)):
                path.unlink(missing_ok=True)

    def _held(self) -> set[int]:
        return {*servers_in(self._layout.root / "seeds"), *servers_in(self._layout.tmp, "seeds-")}


def iso_of(seed: Seed) -> bytes:
    """The volume's bytes. Joliet and Rock Ridge carry the names; ISO 9660 alone knows none with a dash."""
    iso, volume = PyCdlib(), BytesIO()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for number, (name, content) in enumerate(seed.files.items()):
        data, path = BytesIO(content), f"/FILE{number}.;1"
        iso.add_fp(data, len(content), path, rr_name=name, joliet_path=f"/{name}", file_mode=0o100400)
    iso.write_fp(volume)
    iso.close()
    return volume.getvalue()
