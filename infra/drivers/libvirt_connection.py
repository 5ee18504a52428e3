"""One connection to libvirtd, made when it is needed and anew when it is found broken.

libvirt's calls block and know no timeout. Keepalive ends those to a libvirtd that does not answer any more; making a
connection is not covered by it, so that has a thread of its own, for which nobody waits longer than `OPENING`.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Timeout
from functools import cache
from typing import Any, TypeVar

import libvirt

from infra.domain.errors import HostFailure, HostFull, HostUnavailable

OPENING = 10.0  # seconds
KEEPALIVE, MISSED = 5, 3  # asked every 5 s; given up when the fourth answer is due, 20 s in all

log = logging.getLogger(__name__)
libvirt.registerErrorHandler(lambda _, error: log.debug("libvirt: %s", error), None)  # else it prints each one

T = TypeVar("T")


class LibvirtConnection:
    """For blocking calls out of any number of threads."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="libvirt-open")
        self._opening: Future[Any] | None = None

    def do(self, work: Callable[[Any], T]) -> T:
        """Call ``work``, which converges, with the connection; once more when that was broken. HostFailure: no use."""
        for is_last in (False, True):
            opening = self._open()
            try:
                return work(self._opened(opening))
            except libvirt.libvirtError as error:
                if not is_last and self._drop_if_broken(opening):
                    continue
                raise _failure(error) from error
        raise AssertionError("unreachable: the loop returns or raises")

    def close(self) -> None:
        """Let go of the connection. What runs on the host goes on."""
        with self._lock:
            self._opening = None
        self._opener.shutdown(wait=False)

    def _open(self) -> Future[Any]:
        with self._lock:
            if self._opening is None:
                _run_events()
                self._opening = self._opener.submit(_connect, self._uri)
            return self._opening

    def _opened(self, opening: Future[Any]) -> Any:
        try:
            return opening.result(OPENING)
        except Timeout as error:
            raise HostUnavailable("the host does not answer; try again") from error
        except libvirt.libvirtError:
            self._forget(opening)
            raise

    def _drop_if_broken(self, opening: Future[Any]) -> bool:
        if opening.exception() is None and _answers(opening.result()):
            return False
        self._forget(opening)
        return True

    def _forget(self, opening: Future[Any]) -> None:
        # Not closed here: another thread may be inside it. It closes when the last of them lets go.
        with self._lock:
            if self._opening is opening:
                self._opening = None


def _connect(uri: str) -> Any:
    connection = libvirt.open(uri)
    connection.setKeepAlive(KEEPALIVE, MISSED)
    return connection


def _answers(connection: Any) -> bool:
    try:
        return bool(connection.isAlive() and connection.getLibVersion() > 0)
    except libvirt.libvirtError:
        return False


def _failure(error: libvirt.libvirtError) -> HostFailure:
    log.warning("libvirt: %s", error)
    if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() == errno.ENOSPC:
        return HostFull("there is no room left for the server")
    return HostUnavailable("the server's machine does not obey; try again")


@cache
def _run_events() -> None:
    """libvirt's event loop, once per process and for its whole life: keepalive runs in it."""
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_events, name="libvirt-events", daemon=True).start()


def _events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
