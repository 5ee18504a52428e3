"""Host workers as processes of their own, to be killed and paused: forked from a server that has the product loaded."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.config import Settings
from infra.temporal.names import host_queue
from infra.temporal.pulse import newest
from tests.fix_region import Region, eventually, host_key, host_path
from workers.host import run_host

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def _work(settings: Settings) -> None:
    asyncio.run(run_host(settings, asyncio.Event()))


@dataclass
class HostProcess:
    """One host's worker, at work on the simulated host that the region knows by this id."""

    pid: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


async def _taking_steps(region: Region, queue: str, before: float) -> bool:
    """On a busy machine a report comes long before: a step that waits meanwhile would take the host for silent."""
    return await newest(region.client, queue) > before


@asynccontextmanager
async def host_process(region: Region, host_id: int, internal_url: str) -> AsyncIterator[HostProcess]:
    """It has reported once, and takes steps, when it is entered; it is killed at the end."""
    queue = host_queue(host_id)
    settings = region.settings.model_copy(
        update={
            "host_id": host_id,
            "host_key": host_key(region, host_id),
            "host_path": host_path(region.settings.state, host_id),
            "internal_url": internal_url,
        }
    )
    await region.execute("UPDATE hosts SET reported = NULL WHERE id = %s", host_id)
    before = await newest(region.client, queue)
    process = _processes.Process(target=_work, args=(settings,), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        await eventually(lambda: region.one("SELECT id FROM hosts WHERE id = %s AND reported IS NOT NULL", host_id))
        await eventually(lambda: _taking_steps(region, queue, before))
        yield HostProcess(process.pid)
    finally:
        process.kill()  # a paused one dies as well
        await asyncio.to_thread(process.join)
