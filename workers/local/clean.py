"""Cleaning: what a killed `puchify up` left on this machine is stopped, then the state is removed.

After an orderly end there is nothing to stop. After a kill there may be guests, with their ports and the storage under
them, and processes that are on their way out; the ground knows how to clear itself, so it is made once more.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from infra.config import Settings
from infra.db.cluster import DEATH_SIGNAL
from infra.lab.lab import Lab
from infra.runtime_dir import RuntimeDir
from workers.local.edge_ground import clear_edge, of_edge
from workers.local.libvirt_ground import LibvirtGround
from workers.local.place import Place, resolved
from workers.processes import Supervisor, end_leftover
from workers.progress import Teller

PATIENCE = 20.0  # seconds until SIGKILL


async def clean_up(settings: Settings, teller: Teller) -> None:
    """RuntimeDirError: a `puchify up` still runs on this state."""
    if not settings.state.exists():
        teller.say(f"There is nothing in {settings.state}.")
        return
    with RuntimeDir(settings.state) as runtime:
        place = Place(runtime.state)
        for pid_file in sorted(place.pids.glob("*.pid")):
            number = DEATH_SIGNAL if pid_file.stem == "postgres" else signal.SIGTERM
            await end_leftover(pid_file, number, PATIENCE)
        await clear_edge(of_edge(settings, settings, runtime))
        if guests_left(place.libvirt):
            await _clear(settings, runtime, teller)
        if place.lab.exists():  # never delete through its mounts
            await asyncio.to_thread(Lab(place.lab, teller.say).down)
    shutil.rmtree(runtime.state)
    teller.say(f"Removed {runtime.state}.")


def guests_left(libvirt: Path) -> bool:
    """Whether libvirt's notes name guests: they are written when one is defined or started."""
    return any(True for kind in ("etc", "run") for _ in (libvirt / kind / "qemu").glob("*.xml"))


async def _clear(settings: Settings, runtime: RuntimeDir, teller: Teller) -> None:
    teller.say("A killed run left guests: switching them off.")
    hurry = asyncio.Event()
    hurry.set()
    async with Supervisor(Place(runtime.state).pids, teller.say) as supervisor:
        told = resolved(settings.model_copy(update={"host": "libvirt"}), Place(runtime.state), "")
        ground = LibvirtGround(settings, told, runtime, supervisor, teller)
        await ground.open()
        await ground.clear(hurry)
