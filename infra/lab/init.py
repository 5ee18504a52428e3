"""The first process of a zone: it makes the zone's mounts its own, then waits for children to bury.

Run as a file, by itself, inside fresh process, mount and host name namespaces: `init.py NAME KEPT...`. It says `ready`
once the zone may be used. Killing it ends every process of the zone at once.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import sys
from pathlib import Path

MNT_DETACH = 2
PSEUDO = {"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "mqueue", "cgroup", "cgroup2", "securityfs", "bpf", "rootfs"}

_libc = ctypes.CDLL(None, use_errno=True)


def main(name: str, *kept: str) -> None:
    socket.sethostname(name)
    let_go_of_foreign_mounts([Path(path) for path in kept])
    own_run_directory()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print("ready", flush=True)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    while True:
        bury()
        signal.sigwait({signal.SIGCHLD})


def let_go_of_foreign_mounts(kept: list[Path]) -> None:
    """A mount that lives on in here could not be taken down outside: other instances' disks, our clients' mounts."""
    for point, kind in reversed(mounts()):
        if kind not in PSEUDO and not any(path.is_relative_to(point) for path in kept):
            _libc.umount2(os.fsencode(point), MNT_DETACH)


def mounts() -> list[tuple[Path, str]]:
    """(mount point, type), oldest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        # The kernel writes space, tab, newline and backslash as octal escapes.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        found.append((Path(point), fields[fields.index("-") + 1]))
    return found


def own_run_directory() -> None:
    """Sockets and pid files go the way they go when a machine loses power."""
    if _libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=0755,size=64m") != 0:
        raise OSError(ctypes.get_errno(), "a file system of its own at /run")
    Path("/run/lock").mkdir()


def bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
