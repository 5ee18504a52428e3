"""Whether somebody listens: new backends are tried once before they are in, so that those that are there serve at once.

All of them side by side, within a moment. A socket belongs to the network namespace of the thread that makes it, so
those of a private side are made in a thread of their own. Blocking.
"""

from __future__ import annotations

import ctypes
import errno
import os
import selectors
import socket
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

CLONE_NEWNET = 0x40000000
WITHIN_S = 0.3

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Place:
    """``namespace``: a name below /run/netns; None: our own."""

    namespace: str | None
    address: str
    port: int


def reached(places: Collection[Place]) -> set[Place]:
    """Those that take a connection."""
    namespaces = sorted({place.namespace for place in places}, key=str)
    sockets: dict[socket.socket, Place] = {}
    try:
        for namespace in namespaces:
            sockets |= _begun(namespace, [place for place in places if place.namespace == namespace])
        return _connected(sockets)
    finally:
        for one in sockets:
            one.close()


def _begun(namespace: str | None, places: Collection[Place]) -> dict[socket.socket, Place]:
    work = partial(_begin, places)
    if namespace is None:
        return work()
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(namespace,)) as inside:
        return inside.submit(work).result()


def _enter(namespace: str) -> None:
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(handle)


def _begin(places: Collection[Place]) -> dict[socket.socket, Place]:
    begun = {}
    for place in places:
        one = socket.socket(socket.AF_INET6 if ":" in place.address else socket.AF_INET, socket.SOCK_STREAM)
        one.setblocking(False)
        if one.connect_ex((place.address, place.port)) in (0, errno.EINPROGRESS):
            begun[one] = place
        else:
            one.close()
    return begun


def _connected(sockets: dict[socket.socket, Place]) -> set[Place]:
    until, open_ = time.monotonic() + WITHIN_S, set()
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_WRITE)
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                selector.unregister(key.fileobj)
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    open_.add(sockets[ready])
    return open_
