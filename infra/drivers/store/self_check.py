"""The self-check of a mount: every point of the contract, one after the other, each in a child and within its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infra.domain.store_health import Engine
from infra.drivers.store.children import Children
from infra.drivers.store.errors import ImageMissing, StoreAway, StoreError

PATIENCE = 30.0  # seconds of silence
KINDS: dict[Engine, tuple[str, ...]] = {
    "directory": (),
    "cephfs": ("ceph", "fuse.ceph", "fuse.ceph-fuse"),
    "glusterfs": ("fuse.glusterfs",),
}
"""What the kernel calls the engine's mounts."""

Outcome = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One point. ``text``: what was seen, what is wrong, or why it was left out."""

    point: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Mount:
    """What is checked. ``second``: the same store, mounted once more. ``tiny``: a directory that is soon full.

    ``owner``: whose mark it has to bear; None: anybody's.
    """

    path: Path
    engine: Engine = "directory"
    owner: str | None = None
    second: Path | None = None
    tiny: Path | None = None
    read_only: bool = False


async def check(mount: Mount, patience: float = PATIENCE) -> AsyncIterator[Checked]:
    """Every point that applies; when the store is not even there, no other."""
    probes = _Probes(mount.path, patience)
    first = await probes.run("mounted", "mounted", kinds=KINDS[mount.engine], owner=mount.owner)
    yield first
    if first.outcome == "failed":
        return
    if mount.read_only:
        yield await probes.run("refuses writes", "refuse_writes")
        yield await probes.run("reads an image", "read_an_image")
        return
    for point, name in POINTS.items():
        yield await probes.run(point, name)
    yield await probes.run("replacement", "replace_under_a_reader", second=mount.second)
    if mount.second is None:
        yield Checked("second mount", "skipped", "none is named: --second PATH")
    else:
        yield await probes.run("second mount", "visible_elsewhere", second=mount.second)
    if mount.tiny is None:
        yield Checked("full store", "skipped", "no directory is named that is soon full: --tiny DIR")
    else:
        yield await probes.run("full store", "fill", tiny=mount.tiny)
    yield await probes.run("features", "features")


async def check_quorum_lost(mount: Mount, patience: float = PATIENCE) -> AsyncIterator[Checked]:
    """That no write is acknowledged while too few zones are there. Refused or silent, both is right."""
    point = "quorum lost"
    try:
        yield Checked(point, "failed", f"a write was {await _Probes(mount.path, patience).seen('write_once')}")
    except StoreAway as error:
        yield Checked(point, "ok", f"no write is acknowledged: {error}")
    except StoreError as error:
        yield Checked(point, "failed", str(error))


POINTS = {
    "write and read": "write_and_read",
    "reads an image": "read_an_image",
    "names, offsets": "long_names_and_far_offsets",
    "many readers": "many_readers",
}


class _Probes:
    def __init__(self, path: Path, patience: float) -> None:
        self._path = path.absolute()
        self._children = Children(4, patience)

    async def run(self, point: str, name: str, **told: Any) -> Checked:
        try:
            return Checked(point, "ok", await self.seen(name, **told))
        except ImageMissing as error:
            return Checked(point, "skipped" if name == "read_an_image" else "failed", str(error))
        except (StoreError, OSError) as error:
            return Checked(point, "failed", str(error))

    async def seen(self, name: str, **told: Any) -> str:
        async with self._children.start("probe", store=self._path, marked=False, name=name, **told) as child:
            while "done" not in (said := await child.line()):
                pass
            return str(said["done"])
