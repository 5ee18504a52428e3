"""Doors of the metadata service: on the tap of each server a socket that only this server's guest reaches.

Whose question it is, the kernel says: a listening socket that is bound to a tap takes what came in by that tap and
nothing else, whatever addresses or headers it carries. Taps are followed as the kernel has them, not as anybody tells:
a tap that is made anew under its old name gets a new door. Each door has its own few connections and its own pace, so
a guest that floods, stalls or reads slowly has itself to wait for.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable, Collection, Coroutine
from contextlib import closing, suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from infra.domain.metadata import ADDRESS
from infra.domain.port_names import server_of
from infra.domain.seed import GATEWAY6
from infra.drivers.public_ports import ROUTE_PROTOCOL

PORT = 80
CONNECTIONS, WAITING = 4, 16
"""Of one door and family: that are served at a time, and that the kernel keeps until then."""
RATE, BURST = 10, 40
"""Connections a second that one door accepts, and how many of them at once after a rest."""
LOOK = 30.0
"""Seconds after which taps are looked for even if the kernel has told of none."""
FILES = 65_536
RTMGRP_LINK = 1
IPV6_FREEBIND = 78
LOCAL_TABLE, SCOPE_HOST = 255, 254

Serve = Callable[[int, socket.socket], Coroutine[None, None, None]]
"""Converse with the guest of a server on a connection, and close it."""
Changed = Callable[[Collection[int]], None]
"""Told of the servers that have a door."""

log = logging.getLogger(__name__)


async def keep_doors(serve: Serve, changed: Changed) -> None:
    """A door on each tap, until this is cancelled; then there is none."""
    _allow_files()
    await asyncio.to_thread(_own_address, "replace")
    doors: dict[tuple[int, str], Door] = {}
    news = asyncio.Event()
    with closing(_link_news()) as link_news:
        asyncio.get_running_loop().add_reader(link_news, _drain, link_news, news)
        try:
            while True:
                news.clear()
                await _converge(doors, serve)
                changed([door.server_id for door in doors.values()])
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await news.wait()
        finally:
            asyncio.get_running_loop().remove_reader(link_news)
            for door in doors.values():
                await door.close()
            await asyncio.to_thread(_own_address, "del")


async def _converge(doors: dict[tuple[int, str], Door], serve: Serve) -> None:
    taps = {(index, name): id for index, name in socket.if_nameindex() if (id := server_of(name)) is not None}
    for gone in doors.keys() - taps.keys():
        await doors.pop(gone).close()
    for (index, name), server_id in taps.items():
        if (index, name) not in doors:
            try:
                doors[index, name] = Door(server_id, index, name, serve)
            except OSError as error:  # it went again, or no more files may be open; the next look tries anew
                log.warning("the guest of server %s cannot ask about itself: %s", server_id, error)


class Door:
    """That of one tap."""

    def __init__(self, server_id: int, index: int, tap: str, serve: Serve) -> None:
        self.server_id = server_id
        self._serve = serve
        self._ready = 0.0
        self._listeners = _listeners(index, tap)
        self._tasks = {asyncio.create_task(self._accept(listener)) for listener in self._listeners}

    async def close(self) -> None:
        """Nobody is served any more; who is being served is cut off."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop, free = asyncio.get_running_loop(), asyncio.Semaphore(CONNECTIONS)
        while True:
            await free.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                free.release()
                log.warning("a guest of server %s is not let in: %s", self.server_id, error)
                await asyncio.sleep(1)
                continue
            task = asyncio.create_task(self._serve(self.server_id, connection))
            self._tasks.add(task)
            task.add_done_callback(lambda task: self._served(task, free))
            await self._pause()

    def _served(self, task: asyncio.Task[None], free: asyncio.Semaphore) -> None:
        self._tasks.discard(task)
        free.release()
        if not task.cancelled() and (error := task.exception()):
            log.warning("a guest of server %s was not served: %s", self.server_id, error)

    async def _pause(self) -> None:
        """A token bucket, kept as the moment from which on it is full (GCRA)."""
        now = asyncio.get_running_loop().time()
        self._ready = max(self._ready, now) + 1 / RATE
        await asyncio.sleep(max(0, self._ready - now - BURST / RATE))


def _listeners(index: int, tap: str) -> list[socket.socket]:
    """They may be there before the tap has its addresses."""
    listeners: list[socket.socket] = []
    try:
        for family, address in ((socket.AF_INET, (ADDRESS, PORT)), (socket.AF_INET6, (GATEWAY6, PORT, 0, index))):
            listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            listener.bind(address)
            listener.listen(WAITING)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _own_address(verb: str) -> None:
    """The address is this host's, by a route instead of an interface that has it: routing daemons tell of interfaces'
    addresses. Only while there are doors: the host may itself be a guest of somebody who answers there."""
    with IPRoute() as netlink:
        (loopback,) = netlink.link_lookup(ifname="lo")
        route = {"type": "local", "table": LOCAL_TABLE, "scope": SCOPE_HOST, "proto": ROUTE_PROTOCOL}
        try:
            netlink.route(verb, dst=f"{ADDRESS}/32", oif=loopback, **route)
        except NetlinkError as error:
            if verb != "del" or error.code != errno.ESRCH:
                raise


def _allow_files() -> None:
    """Each guest takes some, and 1024, where many systems begin, is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))


def _link_news() -> socket.socket:
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    news.bind((0, RTMGRP_LINK))
    return news


def _drain(link_news: socket.socket, news: asyncio.Event) -> None:
    """What exactly has changed is looked up; also after more was told than the kernel keeps (ENOBUFS)."""
    news.set()
    with suppress(OSError):
        while link_news.recv(65536):
            pass
