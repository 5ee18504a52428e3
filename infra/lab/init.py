"""The first process of a zone: it makes the zone's mounts its own, then buries the dead and starts daemons that fell.

Run as a file, by itself, inside fresh process, mount and host name namespaces: `init.py NAME DIRECTORY KEPT...`. It
says `ready` once the zone may be used. Daemons to keep are written into /run/keep, a JSON list of words a line: as with
systemd, one that ends is started again. Killing it ends every process of the zone at once.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import signal
import socket
import sys
import time
from pathlib import Path

REQUESTS = "/run/keep"
PAUSE = 1.0  # seconds until a daemon that ended is started again
MNT_DETACH = 2
PSEUDO = {"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "mqueue", "cgroup", "cgroup2", "securityfs", "bpf", "rootfs"}

_libc = ctypes.CDLL(None, use_errno=True)


def main(name: str, directory: str, *kept: str) -> None:
    socket.sethostname(name)
    let_go_of_foreign_mounts([Path(path) for path in (directory, *kept)])
    own_run_directory()
    os.mkfifo(REQUESTS, 0o600)
    requests = os.open(REQUESTS, os.O_RDWR | os.O_NONBLOCK)  # for writing too: it never ends then
    children, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    print("ready", flush=True)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    watch(requests, children, f"{directory}/daemons.log")


def watch(requests: int, children: int, log: str) -> None:
    """For ever. Lines are written in one piece, so they are read in whole ones."""
    running: dict[int, list[str]] = {}
    due: list[tuple[float, list[str]]] = []  # (monotonic seconds, daemon)
    while True:
        ready, _, _ = select.select([requests, children], [], [], PAUSE if due else None)
        if children in ready:
            os.read(children, 65536)
        for pid in buried():
            if (daemon := running.pop(pid, None)) is not None:
                due.append((time.monotonic() + PAUSE, daemon))
        if requests in ready:
            for line in os.read(requests, 65536).splitlines():
                if (daemon := json.loads(line)) not in (*running.values(), *(one for _, one in due)):
                    due.append((0, daemon))
        now = time.monotonic()
        for moment, daemon in [one for one in due if one[0] <= now]:
            due.remove((moment, daemon))
            running[start(daemon, log)] = daemon


def start(daemon: list[str], log: str) -> int:
    out = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.posix_spawnp(
        daemon[0], daemon, os.environ, file_actions=[out, (os.POSIX_SPAWN_DUP2, 1, 2)], setsid=True, setsigmask=[]
    )


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


def buried() -> list[int]:
    found = []
    try:
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            found.append(pid)
    except ChildProcessError:
        pass
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
