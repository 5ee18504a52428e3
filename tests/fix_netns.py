"""A network namespace for the whole test session: what tests do to interfaces, routes and rules, no other process sees.

The session moves into it when pytest is configured, before there is a second thread (a namespace is a thread's
property, inherited by what it starts). Servers that fixtures start on loopback are all inside, so they reach each
other and nobody else. Without root the session stays where it is, and tests that ask for `private_network` are skipped.

`outside` is for the few things that need the machine's own network: fetching packages for a guest image.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

CLONE_NEWNET = 0x40000000
T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)
_outside = -1  # an open /proc/self/ns/net of where we come from


def pytest_configure(config: pytest.Config) -> None:
    global _outside
    if _outside >= 0 or os.geteuid() != 0 or not _alone(config):
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if _libc.unshare(CLONE_NEWNET) != 0:
        os.close(home)
        return  # a container without CAP_SYS_ADMIN
    _outside = home
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)


def _alone(config: pytest.Config) -> bool:
    """Whether tests run in this process, and no other thread of it matters. Of a session in several processes each has
    a network of its own: the one that hands out tests stays where it is, the others have a thread that talks to it."""
    worker = hasattr(config, "workerinput")
    return threading.active_count() <= (2 if worker else 1) and (worker or not config.getoption("numprocesses", None))


def outside(work: Callable[[], T]) -> T:
    """Do ``work`` in the network that the session came from: in a thread, which takes its child processes along."""
    if _outside < 0:
        return work()
    with ThreadPoolExecutor(1, initializer=_go_out) as thread:
        return thread.submit(work).result()


def enter(namespace: str) -> None:
    """Move the calling thread into the namespace of that path; threads that it starts are born there."""
    there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_namespace(there)
    finally:
        os.close(there)


def _go_out() -> None:
    _set_namespace(_outside)


def _set_namespace(open_file: int) -> None:
    if _libc.setns(open_file, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@pytest.fixture(scope="session")
def private_network() -> None:
    """For tests that change the network: skips where there is no private one."""
    if _outside < 0:
        pytest.skip("needs root: a network namespace of its own")
