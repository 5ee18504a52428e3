"""A runtime directory under /run: short paths that service users can reach, wherever the state lies.

PostgreSQL and QEMU run as users of their own, who cannot enter a state directory below a 0700 home, and a unix
socket's path may not pass 107 bytes. So the parts they need are bind-mounted into /run/puchify/<instance>/,
where <instance> is a hash of the state directory's path: several states live side by side, each found again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import IO, Self

ROOT = Path("/run/puchify")
UNMOUNT_PATIENCE = 5.0  # seconds: a killed predecessor's children are still on their way out


class RuntimeDirError(Exception):
    """The runtime directory cannot be had, or given back; the message says why and how to mend it."""


def root_for(uid: int) -> Path:
    """Where instances live; without root there is no service user to reach, so any private place will do."""
    if uid == 0:
        return ROOT
    given = os.environ.get("XDG_RUNTIME_DIR")
    return Path(given) / "puchify" if given else Path(f"/tmp/puchify-{uid}")


class RuntimeDir:
    """One instance's directory, held by one process at a time.

    A predecessor that was killed may have left mounts behind: `bind` takes over those that are still right (guests
    that outlived it keep their path), `close` removes them all. Other instances are never looked at.
    """

    def __init__(self, state: Path, root: Path | None = None) -> None:
        self.state = state.resolve()
        self.instance = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        self.path = (root or root_for(os.geteuid())) / self.instance
        self._lock: IO[str] | None = None

    def open(self) -> Self:
        self.state.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire()
        self.path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self.path.parent.stat().st_uid != os.geteuid():  # in /tmp anybody could have been there first
            raise RuntimeDirError(
                f"{self.path.parent} belongs to somebody else: set XDG_RUNTIME_DIR to a place of yours"
            )
        self.path.mkdir(mode=0o711, exist_ok=True)
        self.path.chmod(0o711)  # whatever the umask: service users pass through, and list nothing
        return self

    def bind(self, source: Path, name: str, owner: str | None = None) -> Path:
        """Make `source` (created 0700 if missing) visible as `<path>/<name>` and give it to `owner`."""
        source.mkdir(mode=0o700, parents=True, exist_ok=True)
        _give(source, owner)
        target = self.path / name
        if os.geteuid() != 0:  # nobody else has to get there, so a link does
            target.unlink(missing_ok=True)
            target.symlink_to(source)
            return target
        target.mkdir(mode=0o711, exist_ok=True)
        if not target.samefile(source):
            _unmount_all(target)
            _run("mount", "--bind", str(source), str(target))
        return target

    def directory(self, name: str, owner: str | None = None) -> Path:
        """A private directory (0700, of `owner`) that is gone with the instance: the place for sockets."""
        target = self.path / name
        target.mkdir(mode=0o700, exist_ok=True)
        _give(target, owner)
        return target

    def close(self) -> None:
        """Unmount everything below, newest first, and remove the directory; again at will.

        A guest that still runs keeps its open disks but loses the paths below: end or move guests first.
        """
        if self._lock is None:
            return
        if self.path.exists():
            _unmount_all(self.path)
            if left := mounts_below(self.path):  # never delete through a mount: behind it lies somebody's data
                raise RuntimeDirError(f"{left[-1]} is still mounted: run `umount {left[-1]}` and try again")
            shutil.rmtree(self.path)
        self._lock.close()
        self._lock = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _acquire(self) -> IO[str]:
        # In the state directory, not in /run: it is never unlinked, so two processes can never hold two of it.
        lock = (self.state / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise RuntimeDirError(
                f"another process (pid {holder}) is running on {self.state}: stop it, or choose another state directory"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock


def mounts_below(path: Path, process: int | str = "self") -> list[Path]:
    """The mount points at or below `path`, oldest first, as that process sees them."""
    points = []
    for line in Path(f"/proc/{process}/mountinfo").read_text().splitlines():
        # The kernel writes space, tab, newline and backslash as octal escapes.
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]))
        if point.is_relative_to(path):
            points.append(point)
    return points


def _unmount_all(path: Path) -> None:
    deadline = time.monotonic() + UNMOUNT_PATIENCE
    while points := mounts_below(path):
        done = subprocess.run(["umount", str(points[-1])], capture_output=True, text=True)
        if done.returncode == 0:
            continue
        if time.monotonic() > deadline:
            # Only somebody looking around can still hold it (our children are gone): let go of it lazily.
            _run("umount", "--lazy", str(points[-1]))
        time.sleep(0.05)


def _give(path: Path, owner: str | None) -> None:
    if owner is None or os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(owner)
    except KeyError:
        raise RuntimeDirError(f"there is no system user {owner!r}: install the package that brings it") from None
    os.chown(path, user.pw_uid, user.pw_gid)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeDirError(f"`{' '.join(argv)}` failed: {done.stderr.strip()} (mounting needs CAP_SYS_ADMIN)")
