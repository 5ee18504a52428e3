"""Backends that count who asks them, and clients that ask a lot at once."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from dataclasses import dataclass, field

PORT = 8080


@dataclass
class BackendServer:
    """An HTTP server that says who it is. ``heads``: what it was sent, the newest last; ``proxied``: what came first on
    a connection, of the proxy protocol. ``body``: what it says instead. ``answers``: cleared, whoever asks waits."""

    address: str
    listening: asyncio.Server | None = None
    asked: int = 0
    delay: float = 0.0
    body: str = ""
    heads: list[str] = field(default_factory=list)
    proxied: list[bytes] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    async def up(self, port: int = PORT) -> None:
        self.listening = await asyncio.start_server(self._serve, self.address, port, backlog=1024)

    async def down(self) -> None:
        if self.listening:
            self.listening.close()
            for writer in list(self.open):
                writer.transport.abort()
            self.listening = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while head := await self._head(reader):
                if "GET /health" not in head:
                    self.asked += 1
                    self.heads.append(head)
                    await asyncio.sleep(self.delay)
                    await self.answers.wait()
                body = (self.body or self.address).encode()
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                if "connection: close" in head.lower():
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> str:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""
        if head.startswith(b"\r\n\r\n"):  # a proxy protocol's signature begins with an empty line
            rest = await reader.readexactly(12)
            size = int.from_bytes(rest[-2:], "big")
            self.proxied.append(await reader.readexactly(size))
            return await self._head(reader)
        return head.decode(errors="replace")


class Backends:
    """Addresses on loopback, one backend each."""

    def __init__(self) -> None:
        self.all: dict[str, BackendServer] = {}

    async def __aenter__(self) -> Backends:
        return self

    async def __aexit__(self, *_: object) -> None:
        for address, one in self.all.items():
            await one.down()
            _loopback("del", address)

    async def add(self, address: str, up: bool = True) -> BackendServer:
        _loopback("replace", address)
        one = self.all[address] = BackendServer(address)
        if up:
            await one.up()
        return one


def _loopback(verb: str, address: str) -> None:
    subprocess.run(("ip", "addr", verb, f"{address}/32", "dev", "lo"), check=True)


async def ask(address: str, port: int = 80, path: str = "/", **headers: str) -> tuple[int, str, str]:
    """The status, the head and the body. OSError: nobody answers."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        lines = [f"GET {path} HTTP/1.1", "Host: app.example.com", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = (await reader.read()).decode(errors="replace")
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    if not head:
        raise ConnectionError("an empty answer")
    return int(head.split()[1]), head, body


@dataclass
class Load:
    """Clients that ask again and again until there were ``wanted`` requests; half of them keep their connections."""

    address: str
    wanted: int
    clients: int = 16
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _begun: int = 0

    @property
    def done(self) -> int:
        return self.answers.total() + len(self.failures)

    async def run(self) -> None:
        await asyncio.gather(*(self._client(keeps=number % 2 == 0) for number in range(self.clients)))

    async def _client(self, keeps: bool) -> None:
        reader = writer = None
        while self._begun < self.wanted:
            self._begun += 1
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(self.address, 80)
                assert reader
                connection = "keep-alive" if keeps else "close"
                writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length: ")[2].split("\r\n")[0] or 0)
                body = (await reader.readexactly(size)).decode()
                if " 200 " not in head.splitlines()[0]:
                    self.failures.append(head.splitlines()[0])
                else:
                    self.answers[body] += 1
                if not keeps or "connection: close" in head:
                    writer.close()
                    writer = None
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
                if writer:
                    writer.close()
                writer = None
        if writer:
            writer.close()
