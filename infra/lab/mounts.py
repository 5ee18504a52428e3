"""The clients' mounts: seen in the kernel's list alone, since whoever looks at a mount that hangs will hang as well."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from infra.lab.errors import LabError
from infra.runtime_dir import mounts_below

MNT_FORCE, MNT_DETACH, UMOUNT_NOFOLLOW = 1, 2, 8

_libc = ctypes.CDLL(None, use_errno=True)


def is_mounted(path: Path) -> bool:
    return path in mounts_below(path)


def let_go(path: Path) -> None:
    """Unmount all at and below it, without waiting for anybody. `umount` itself would look at the mount first.

    By force: whoever waits in a file system whose server in user space says nothing cannot even be killed before.
    """
    for point in reversed(mounts_below(path)):
        if _libc.umount2(os.fsencode(point), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
            raise LabError(f"{point} cannot be unmounted: {os.strerror(ctypes.get_errno())}")
