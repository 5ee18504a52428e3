"""One of a kind in a network: of two workers that would rule the same links and rules, the second is refused.

Held by a socket's name that only this network namespace knows; the kernel lets go of it when its process ends, however
that ends.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from infra.domain.errors import Conflict

PATIENCE = 10.0
"""Seconds that a predecessor has to end."""


@contextmanager
def sole(kind: str, patience: float = PATIENCE) -> Iterator[None]:
    """Be the only ``kind`` here. Conflict: another one still is, after ``patience`` (seconds). Blocking."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        until = time.monotonic() + patience
        while not _named(held, f"\0puchify-{kind}"):
            if time.monotonic() >= until:
                raise Conflict(f"another {kind} of Puchify works on this machine already: one network has one {kind}")
            time.sleep(0.05)
        yield


def _named(held: socket.socket, name: str) -> bool:
    try:
        held.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
