"""One HTTP request of a guest, on a connection that was accepted, and its answer; h11 speaks, the limits are ours.

A guest may be hostile: what it sends is small, what it is sent it takes within `PATIENCE`, and then the connection is
closed, whatever it asked for. Nothing that it says of itself is looked at but the method and the path.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import h11

PATIENCE = 10.0
"""Seconds from the connection to the last byte of its answer; the books have 5 of them to be asked."""
FAREWELL = 1.0
"""Seconds for a guest to hang up: who closes with bytes unread takes back the end of the answer."""
LARGEST = 8 << 10  # bytes of a request's head
UNREAD = 64 << 10  # bytes of what else it sends that are thrown away

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""


Answer = Callable[[str], Awaitable[Reply]]
"""Of a path without its query."""


async def converse(connection: socket.socket, answer: Answer) -> None:
    """Until the connection is closed, whatever happens on it."""
    try:
        reader, writer = await asyncio.open_connection(sock=connection, limit=LARGEST)
    except BaseException:
        connection.close()
        raise
    writer.transport.set_write_buffer_limits(high=0)  # drained means handed to the kernel, all of it
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(await _exchange(reader, answer))
            await writer.drain()
            writer.write_eof()
            await _hang_up(reader)
    except (TimeoutError, OSError):
        pass  # it went, or was too slow
    except Exception:
        log.exception("a guest's question about itself could not be answered")
    finally:
        writer.transport.abort()


async def _exchange(reader: asyncio.StreamReader, answer: Answer) -> bytes:
    """All bytes of the answer to what is read."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
    try:
        request = await _request(reader, connection)
    except h11.RemoteProtocolError as error:
        return _written(connection, Reply(HTTPStatus(error.error_status_hint)), "")
    if request is None:
        return b""
    method = request.method.decode()
    if method not in ("GET", "HEAD"):
        return _written(connection, Reply(HTTPStatus.METHOD_NOT_ALLOWED), method)
    return _written(connection, await answer(_path(request)), method)


async def _request(reader: asyncio.StreamReader, connection: h11.Connection) -> h11.Request | None:
    """None: the guest hung up before it had asked."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await reader.read(LARGEST))


def _path(request: h11.Request) -> str:
    """Also of a request that is made as to a proxy."""
    target = request.target.decode("ascii").partition("?")[0]
    if target.startswith("http://"):
        target = "/" + target.removeprefix("http://").partition("/")[2]
    return target.rstrip("/") or "/"


def _written(connection: h11.Connection, reply: Reply, method: str) -> bytes:
    body = reply.body if reply.status == HTTPStatus.OK else f"{reply.status.phrase}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "5"))
    events: list[h11.Event] = [h11.Response(status_code=reply.status, reason=reply.status.phrase, headers=headers)]
    if method != "HEAD":
        events.append(h11.Data(data=body))
    return b"".join(connection.send(event) or b"" for event in [*events, h11.EndOfMessage()])


async def _hang_up(reader: asyncio.StreamReader) -> None:
    unread = UNREAD
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            while unread > 0 and (data := await reader.read(LARGEST)):
                unread -= len(data)
