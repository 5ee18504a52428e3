"""Seeds: a server's cloud-init volume; what is in it the host fetches with its claim, it never enters a story."""

from __future__ import annotations

from temporalio import activity

from infra.domain.models import Machine
from infra.drivers import protocols
from infra.internal_api import InternalApi


class Seeds:
    def __init__(self, seeds: protocols.Seeds, internal_api: InternalApi) -> None:
        self._seeds = seeds
        self._internal_api = internal_api

    @activity.defn
    async def write_seed(self, machine: Machine) -> None:
        """StaleClaim: the server is not this host's any more."""
        await self._seeds.write(machine.server_id, await self._internal_api.seed(machine))

    @activity.defn
    async def remove_seed(self, machine: Machine) -> None:
        await self._seeds.remove(machine.server_id)
