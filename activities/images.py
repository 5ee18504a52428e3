"""Images: a server's image in its host's cache, brought there once however many servers wait for it."""

from __future__ import annotations

import logging

from temporalio import activity

from infra.domain.errors import ImageDoubtful, PuchifyError
from infra.domain.models import Machine
from infra.drivers import protocols
from infra.internal_api import InternalApi

log = logging.getLogger(__name__)


class Images:
    def __init__(self, images: protocols.Images, internal_api: InternalApi) -> None:
        self._images = images
        self._internal_api = internal_api

    @activity.defn
    async def ensure_image(self, machine: Machine) -> None:
        """Heartbeats the bytes done. ImageUnusable: there is no such image, or it is damaged."""
        try:
            await self._images.ensure(machine.image, activity.heartbeat)
        except ImageDoubtful:
            try:
                await self._internal_api.doubt(machine.image.digest)
            except PuchifyError as error:
                log.warning("the books were not told that image %s is damaged: %s", machine.image.digest, error)
            raise
