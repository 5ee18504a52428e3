"""Disks: a clone of the image, its root partition grown to the plan."""

from __future__ import annotations

from temporalio import activity

from infra.domain.models import Machine
from infra.drivers import protocols


class Disks:
    def __init__(self, disks: protocols.Disks) -> None:
        self._disks = disks

    @activity.defn
    async def create_disk(self, machine: Machine) -> None:
        """HostFull: no room."""
        await self._disks.create(machine.server_id, machine.image, machine.resources.disk_gib)

    @activity.defn
    async def remove_disk(self, machine: Machine) -> None:
        await self._disks.remove(machine.server_id)
