"""Wires: connections that are kept, on which one GET is asked again and again at the least cost to the one who asks.

Of the two cores that all share, a thousand requests a second by a full client would take one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from typing import Self

MOST = 200
"""Connections; who finds none waits for one."""

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wires:
    """``turns``: the ports that are asked, one after the other."""

    def __init__(self, turns: Iterator[int], path: str, token: str) -> None:
        self._turns = turns
        self._request = f"GET {path} HTTP/1.1\r\nHost: puchify\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self._idle: dict[int, list[Wire]] = defaultdict(list)
        self._places = asyncio.Semaphore(MOST)

    async def ask(self) -> int:
        """The status of the answer, once all of it is here."""
        port = next(self._turns)
        async with self._places:
            wire = self._idle[port].pop() if self._idle[port] else await asyncio.open_connection("127.0.0.1", port)
            reader, writer = wire
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            self._idle[port].append(wire)
        return int(head.split(b" ", 2)[1])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, writer in [wire for idle in self._idle.values() for wire in idle]:
            writer.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without a length")
