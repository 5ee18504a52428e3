"""Putting a host to rest: its guests are asked to shut down, ended when they do not, and forgotten by the hypervisor.

Disks and seeds stay, and the books are not touched: what should run is defined and started again by the host worker
when it comes back.
"""

from __future__ import annotations

import asyncio
import logging

from infra.domain.errors import HostFailure
from infra.drivers.protocols import Host

log = logging.getLogger(__name__)


async def put_to_rest(host: Host, patience: float, hurry: asyncio.Event) -> int:
    """Press every guest's power button and wait up to ``patience`` seconds, or until ``hurry`` is set; how many guests
    had to be ended."""
    machines = await host.machines.held()
    ended = await asyncio.gather(*(_end(host, one, runs, patience, hurry) for one, runs in machines.items()))
    for server_id in await host.ports.held():
        await host.ports.detach(server_id)
    return sum(ended)


async def _end(host: Host, server_id: int, runs: bool, patience: float, hurry: asyncio.Event) -> bool:
    """Whether the guest had to be ended."""
    obeyed = not runs or await _obeys(host, server_id, patience, hurry)
    await host.machines.destroy(server_id)
    return not obeyed


async def _obeys(host: Host, server_id: int, patience: float, hurry: asyncio.Event) -> bool:
    asked = asyncio.create_task(host.machines.shut_down(server_id, patience))
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait({asked, hurried}, return_when=asyncio.FIRST_COMPLETED)
    for task in (asked, hurried):
        task.cancel()
    (answer, _) = await asyncio.gather(asked, hurried, return_exceptions=True)
    if isinstance(answer, HostFailure):
        log.warning("server %s cannot be shut down: %s", server_id, answer)
    return answer is True
