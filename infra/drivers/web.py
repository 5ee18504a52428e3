"""The web, as far as owners may send us there: bytes of an https address, from public addresses only.

A name is asked for once a connection, every address that it has is checked, and the connection goes to one that was
checked: an answer that changes meanwhile is never heard. TLS is spoken with the name. Redirects are followed by hand,
each as a new address. No proxy, no cookies, no other scheme.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urljoin

import httpcore

from infra.domain.errors import ImageUnusable
from infra.domain.web_addresses import Address, is_public, url_problem

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

REDIRECTS = 5
TIMES = {"connect": 15.0, "read": 60.0, "write": 15.0, "pool": 15.0}  # seconds
ANSWER_WITHIN = 60.0
"""Seconds for the whole way to the headers of the last answer: the times above are for each read."""
ASKING = ThreadPoolExecutor(4, thread_name_prefix="names")
"""Who asks for names: one that nobody answers takes a thread for half a minute, and none of the process's own."""
MOVED = frozenset({301, 302, 303, 307, 308})


class SourceRefused(ImageUnusable):
    """The address is not one that images are fetched from, or what answers there has no image for us."""


class SourceBroke(Exception):
    """The connection could not be made, or broke: another try may do better. The message is fit for the owner."""


async def resolve(name: str, port: int) -> list[str]:
    """Every address that a name has. OSError: it has none."""
    asking = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(ASKING, asking)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class CheckedConnections(httpcore.AsyncNetworkBackend):
    """Connections to public addresses. ``allow``: addresses that are taken although they are none; for tests alone."""

    def __init__(self, refused: Iterable[str], allow: Iterable[str], ask: Resolve) -> None:
        self._refused = [ip_network(network) for network in refused]
        self._allow = frozenset(ip_address(address) for address in allow)
        self._ask = ask
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """SourceRefused: any of the name's addresses is not public."""
        addresses = await self.checked(host, port, timeout)
        broken: Exception = SourceBroke("it has no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(str(address), port, timeout, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                broken = error
        raise broken

    async def checked(self, host: str, port: int, timeout: float | None) -> list[Address]:
        try:
            async with asyncio.timeout(timeout):
                told = await self._ask(host, port)
        except (OSError, UnicodeError, TimeoutError) as cause:
            raise SourceBroke(f"the name {host} cannot be found") from cause
        addresses = [ip_address(one.partition("%")[0]) for one in told]
        if not all(address in self._allow or is_public(address, self._refused) for address in addresses):
            raise SourceRefused(f"images are fetched from public addresses only, and {host} is none")
        return addresses

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise SourceRefused("images are fetched from public addresses only")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer under way. ``start``: offset of its first byte in the whole. ``total``: bytes of the whole, if told.
    ``validator``: by which a later answer can be told to be of the same file."""

    start: int
    total: int | None
    validator: str | None
    parts: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Web:
    """``refused``: networks (CIDR) that are nobody's business, beside those that never are."""

    refused: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    ask: Resolve = resolve
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    @asynccontextmanager
    async def open(self, url: str, start: int, validator: str | None) -> AsyncIterator[Opened]:
        """The file from ``start`` on, if the source can and it is the same; else from its first byte.

        SourceRefused: it is not to be had. SourceBroke: not now; also while the parts are read.
        """
        connections = CheckedConnections(self.refused, self.allow, self.ask)
        async with (
            httpcore.AsyncConnectionPool(self.trust, network_backend=connections) as pool,
            _broken_told(),
            AsyncExitStack() as held,
        ):
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    answer = await held.enter_async_context(self._final(pool, url, _asking(start, validator)))
            except TimeoutError as cause:
                raise SourceBroke("it does not answer in time") from cause
            yield _opened(answer, start if validator else 0)

    @asynccontextmanager
    async def _final(
        self, pool: httpcore.AsyncConnectionPool, url: str, headers: Sequence[tuple[str, str]]
    ) -> AsyncIterator[httpcore.Response]:
        """The answer at the end of the redirects."""
        for _ in range(REDIRECTS + 1):
            if problem := url_problem(url):
                raise SourceRefused(f"the image's address {problem}")
            async with pool.stream("GET", url, headers=headers, extensions={"timeout": TIMES}) as answer:
                if answer.status not in MOVED:
                    yield answer
                    return
                told = _header(answer, "location")
            if not told:
                raise SourceRefused("the image's source redirects to nowhere")
            url = urljoin(url, told)
        raise SourceRefused(f"the image's source redirects more than {REDIRECTS} times")


def _asking(start: int, validator: str | None) -> list[tuple[str, str]]:
    headers = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", "puchify")]
    if start and validator:
        headers += [("Range", f"bytes={start}-"), ("If-Range", validator)]
    return headers


def _opened(answer: httpcore.Response, asked: int) -> Opened:
    """SourceRefused: no file. SourceBroke: what may pass."""
    if answer.status >= 500 or answer.status in (408, 425, 429):
        raise SourceBroke(f"it answers {answer.status}")
    if answer.status not in (200, 206) or _header(answer, "content-encoding") not in ("", "identity"):
        raise SourceRefused(f"the image's source answers {answer.status}, and no file")
    length = _header(answer, "content-length")
    total = int(length) if length.isdecimal() else None
    if answer.status == 200:
        return Opened(0, total, _validator(answer), _told(answer.aiter_stream()))
    if not _header(answer, "content-range").startswith(f"bytes {asked}-"):
        raise SourceRefused("the image's source answers with another part than was asked for")
    return Opened(asked, total + asked if total is not None else None, _validator(answer), _told(answer.aiter_stream()))


def _validator(answer: httpcore.Response) -> str | None:
    """RFC 9110: a strong entity tag, or else a date. One that could not be sent back is none."""
    tag, date = _header(answer, "etag"), _header(answer, "last-modified")
    return next((one for one in (tag if tag.startswith('"') else "", date) if one and one.isascii()), None)


def _header(answer: httpcore.Response, name: str) -> str:
    found = [value for key, value in answer.headers if key.decode("latin-1").lower() == name]
    return found[0].decode("latin-1").strip() if found else ""


@asynccontextmanager
async def _broken_told() -> AsyncIterator[None]:
    """What breaks a connection, as the owner may read it."""
    try:
        yield
    except httpcore.TimeoutException as cause:
        raise SourceBroke("it does not answer in time") from cause
    except (httpcore.NetworkError, httpcore.ProtocolError) as cause:
        if isinstance(distrust := cause.__context__, ssl.SSLCertVerificationError):
            raise SourceRefused(
                f"the certificate of the image's source is not valid: {distrust.verify_message}"
            ) from cause
        raise SourceBroke("the connection breaks") from cause


async def _told(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with _broken_told():
        async for part in parts:
            yield part
