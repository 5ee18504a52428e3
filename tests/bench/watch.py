"""A bystander of a real guest: when its SSH first said something to anybody, so that what health adds to it shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

TRY, PAUSE = 0.2, 0.02
"""Seconds for one try (a booting guest drops packets, and TCP is slow to repeat them), and between two."""


async def first_banner(address: str) -> datetime:
    while True:
        try:
            async with asyncio.timeout(TRY):
                reader, writer = await asyncio.open_connection(address, 22)
                said = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            said = b""
        if said.startswith(b"SSH-"):
            return datetime.now(UTC)
        await asyncio.sleep(PAUSE)
