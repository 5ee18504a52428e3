"""HTTP spoken by hand: what no well-behaved client sends, and every byte of what is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 60.0  # seconds; on a machine that is busy with other things


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The wire's error, whole; an answer in any other shape fails here."""
        assert self.headers["content-type"] == "application/json", self
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert set(error) == {"code", "message", "details"}
        return error


async def speak(url: str, line: str, headers: Iterable[str] = (), body: bytes = b"") -> Answer:
    """``line``: the request's first, without its version. The connection is closed by the other side."""
    address = urlsplit(url)
    head = [f"{line} HTTP/1.1", "Host: puchify", "Connection: close", *headers]
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write("".join(f"{one}\r\n" for one in [*head, ""]).encode("latin-1") + body)
        async with asyncio.timeout(PATIENCE):
            return _read(await reader.read())
    finally:
        writer.close()


def _read(answered: bytes) -> Answer:
    head, _, body = answered.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body)
