"""NICs of running machines whose tap somebody deleted: a new one is there, and QEMU holds what is left of the old.

A private NIC is plugged in anew, for which its guest has to let go of the old one. The public one is where nothing can
be plugged while the machine runs: the host tells of it, until the machine is off and on again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from infra.domain.errors import HostFailure
from infra.drivers.machines import LibvirtMachines
from infra.drivers.ports import HostPorts
from infra.drivers.protocols import PartsMissing

log = logging.getLogger(__name__)


class LooseEnds:
    def __init__(self, ports: HostPorts, machines: LibvirtMachines) -> None:
        self._ports = ports
        self._machines = machines
        self._cut_off: set[int] = set()
        """Servers that run without their public port."""

    async def join(self) -> None:
        """After ports were mended: whatever is loose may be one of a machine that is off, or is just coming up."""
        try:
            running = await self._running()
        except HostFailure:
            return  # the hypervisor does not answer, which is told elsewhere
        joined = await asyncio.gather(*(self._joined(server_id, members) for server_id, members in running.items()))
        cut_off = {server_id for server_id, is_joined in zip(running, joined, strict=True) if not is_joined}
        for server_id in sorted(cut_off - self._cut_off):
            log.error("%s", _words(server_id))
        self._cut_off = cut_off

    async def _joined(self, server_id: int, members: Collection[int]) -> bool:
        """Whether its public port is; as it was told before, where nobody can say."""
        try:
            return await self._machines.rejoin(server_id, members)
        except (HostFailure, PartsMissing) as error:  # it changes meanwhile; next time
            log.warning("the NICs of server %s are loose: %s", server_id, error)
            return server_id not in self._cut_off

    async def _running(self) -> dict[int, tuple[int, ...]]:
        """Those with something loose."""
        if not (loose := self._ports.loose()):
            return {}
        running = await self._machines.held()
        return {server_id: members for server_id, members in loose.items() if running.get(server_id)}

    def hindrances(self) -> list[str]:
        """In words."""
        return [_words(server_id) for server_id in sorted(self._cut_off)]


def _words(server_id: int) -> str:
    return f"server {server_id} is cut off, somebody has deleted its port: a reset or a reboot connects it again"
