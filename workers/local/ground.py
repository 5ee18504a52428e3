"""The ground that guests stand on: nothing where the host is simulated; where it is real, see libvirt_ground.py."""

from __future__ import annotations

import asyncio
from typing import Protocol

from infra.config import Settings
from infra.db.built_images import NewImage
from workers.local.books import SIMULATED_IMAGE
from workers.local.rest import put_to_rest
from workers.wiring import open_host

PATIENCE = 30.0  # seconds that guests have to shut down; a tiny one takes five under emulation


class Ground(Protocol):
    settings: Settings
    """Those of the instance, with what the ground adds."""

    async def prepare(self) -> NewImage:
        """Make everything that the host worker finds there; an image to offer."""

    async def clear(self, hurry: asyncio.Event) -> int:
        """Shut the guests down and take the ground away; how many had to be switched off. Nothing there is fine."""


class SimulatedGround:
    """Guests are rows of a file."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def prepare(self) -> NewImage:
        return SIMULATED_IMAGE

    async def clear(self, hurry: asyncio.Event) -> int:
        async with open_host(self.settings) as host:
            return await put_to_rest(host, PATIENCE, hurry)
