"""Images: a server's image in its host's cache, brought there once however many servers wait for it."""

from __future__ import annotations

from temporalio import activity

from infra.domain.models import Machine
from infra.drivers import protocols


class Images:
    def __init__(self, images: protocols.Images) -> None:
        self._images = images

    @activity.defn
    async def ensure_image(self, machine: Machine) -> None:
        """Heartbeats the bytes done. ImageUnusable: there is no such image, or it is damaged."""
        await self._images.ensure(machine.image, activity.heartbeat)
