"""A network of the bench's own: its taps, rules and ports meet neither those of the machine nor of another instance."""

from __future__ import annotations

import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000


def enter_own() -> bool:
    """Move this process, and whatever it starts, into a fresh one. False: it stays (not root, or a container).

    To be called before there is a second thread: a network is a thread's property, inherited by what it starts.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNET) != 0:
        return False
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
    return True
