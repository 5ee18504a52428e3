"""The host's storage: a directory whose files can be cloned, on an XFS of its own where the machine offers none.

That XFS lies in a sparse file and is mounted through a loop device that is freed with the mount. Whatever a killed
predecessor left is taken up: a mounted directory is used as it is, a finished file mounted again.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.drivers.reflink import can_clone

GIB = 2**30
SMALLEST = 300 * 2**20  # what mkfs.xfs accepts
UNMOUNT_PATIENCE = 10.0  # seconds, for guests that are on their way out
LETTING_GO = 2.0  # seconds: the kernel does it a moment after the last mount, in whatever namespace, is gone

log = logging.getLogger(__name__)


class StorageError(Exception):
    """The storage cannot be had or given back; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class HostStorage:
    """``directory`` is what is used; ``backing`` the file behind it, of ``size_gib`` GiB, made only when needed.

    A libvirtd with a mount namespace of its own sees the mount only if it starts after `open`.
    """

    directory: Path
    backing: Path
    size_gib: int

    def open(self) -> None:
        """Blocking, about 0.3 s the first time. StorageError: no XFS or no mounting here."""
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        if can_clone(self.directory):
            return
        self._make()
        _run("mount", "-t", "xfs", "-o", "loop,noatime,discard", str(self.backing), str(self.directory))
        self.directory.chmod(0o711)
        if self.size_gib * GIB > os.statvfs(self.directory).f_frsize * os.statvfs(self.directory).f_blocks:
            _run("xfs_growfs", str(self.directory))  # a larger size than the last time
        log.info("%s: XFS in %s, %d GiB", self.directory, self.backing, self.size_gib)

    def close(self) -> None:
        """Unmount what `open` mounted, now or earlier. Blocking. StorageError: somebody still uses it."""
        deadline = time.monotonic() + UNMOUNT_PATIENCE
        while self._mounted():
            done = subprocess.run(("umount", str(self.directory)), capture_output=True, text=True)
            if done.returncode != 0 and time.monotonic() > deadline:
                raise StorageError(f"{self.directory} cannot be unmounted: {done.stderr.strip()}")
            time.sleep(0 if done.returncode == 0 else 0.1)
        deadline = time.monotonic() + LETTING_GO
        while self._attached() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._attached():
            log.warning("%s is still in use by another mount namespace", self.backing)

    def _make(self) -> None:
        """The backing file, appearing by rename: one with its name has a file system in it."""
        self.backing.parent.mkdir(parents=True, exist_ok=True)
        there = self.backing.stat().st_size if self.backing.exists() else 0
        size = self._affordable(there)
        if there:
            if there < size:
                os.truncate(self.backing, size)
            return
        unfinished = self.backing.with_name(self.backing.name + ".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        os.truncate(unfinished, size)
        _run("mkfs.xfs", "-q", "-m", "reflink=1", str(unfinished))
        unfinished.rename(self.backing)

    def _affordable(self, there: int) -> int:
        """What is asked for, if it can be had: a file system that finds no room below it takes all guests down."""
        asked = max(self.size_gib * GIB, SMALLEST)
        taken = self.backing.stat().st_blocks * 512 if there else 0
        free = shutil.disk_usage(self.backing.parent).free + taken
        if asked <= free:
            return asked
        size = max(there, free * 9 // 10 // GIB * GIB, SMALLEST)
        log.warning("%s: %d GiB are asked for, %d can be had", self.backing, self.size_gib, size // GIB)
        return size

    def _mounted(self) -> bool:
        """Whether our own file is mounted there; never true for a directory that could clone by itself."""
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            point, (kind, device) = before.split()[4], after.split()[:2]
            if point == str(self.directory.resolve()) and kind == "xfs" and device.startswith("/dev/loop"):
                return Path(device).name in self._attached()
        return False

    def _attached(self) -> set[str]:
        """The loop devices over our file."""
        found = set()
        for behind in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):  # detached while we look
                if behind.read_text().strip() == str(self.backing.resolve()):
                    found.add(behind.parents[1].name)
        return found


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except FileNotFoundError:
        raise StorageError(f"the program {argv[0]} is missing: install the packages xfsprogs and mount") from None
    if done.returncode != 0:
        raise StorageError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
