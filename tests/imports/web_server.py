"""A server on the web, as sources of images are: TLS, entity tags, ranges, redirects, and connections that break."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.test_listening import certify

NAME = "images.example.org"


@dataclass
class WebServer:
    """``files`` by path; ``redirects`` likewise. ``breaks``: after how many bytes each of the next answers breaks off.
    ``headers``: of a whole file. ``asked``: the requests so far, as path and range."""

    port: int
    trust: ssl.SSLContext
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    validates: bool = True
    stalls: bool = False
    drips: bool = False

    def url(self, path: str) -> str:
        return f"https://{NAME}:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            asked = re.search(r"(?im)^range: *(.*?)\r$", head)
            same = re.search(r"(?im)^if-range: *(.*?)\r$", head)
            part = asked[1] if asked and (not same or same[1] == self._tag(path)) else ""
            self.asked.append((path, asked[1] if asked else ""))
            if self.drips:
                await _drip(writer)
            status, headers, body = self._of(path, part)
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"HTTP/1.1 {status} X\r\nConnection: close\r\n{told}\r\n".encode("latin-1"))
            await self._send(writer, body)
        writer.transport.abort() if self.breaks else writer.close()

    def _of(self, path: str, asked: str) -> tuple[int, dict[str, object], bytes]:
        if path in self.redirects:
            return 302, {"Location": self.redirects[path], "Content-Length": 0}, b""
        if path in self.statuses or path not in self.files:
            return self.statuses.get(path, 404), {"Content-Length": 0}, b""
        whole = self.files[path]
        headers: dict[str, object] = {"ETag": self._tag(path)} if self.validates else {}
        if found := re.fullmatch(r"bytes=(\d+)-", asked):
            start = int(found[1])
            of = {"Content-Range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"}
            return 206, {**headers, **of, "Content-Length": len(whole) - start}, whole[start:]
        return 200, {**headers, **self.headers, "Content-Length": len(whole)}, whole

    def _tag(self, path: str) -> str:
        return f'"{hash(self.files.get(path))}"'

    async def _send(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        if self.stalls:
            writer.write(body[:1000])
            await asyncio.sleep(3600)
        if not self.breaks or not body:
            writer.write(body)
            await writer.drain()
            return
        writer.write(body[: self.breaks.pop(0)])
        await writer.drain()
        await asyncio.sleep(0.05)  # what is sent arrives before the connection is gone
        writer.transport.abort()


async def _drip(writer: asyncio.StreamWriter) -> None:
    """A head without an end."""
    writer.write(b"HTTP/1.1 200 X\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: x\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def web_server(directory: Path) -> AsyncIterator[WebServer]:
    """At a port of the loopback; its certificate is for ``NAME``."""
    certificate, key = await asyncio.to_thread(certify, directory, "web", NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web = WebServer(0, ssl.create_default_context(cafile=str(certificate)))
    server = await asyncio.start_server(web.answer, "127.0.0.1", 0, ssl=context)
    web.port = server.sockets[0].getsockname()[1]
    async with server:
        yield web
