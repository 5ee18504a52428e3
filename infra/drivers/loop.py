"""A loop device over a part of a file, for as long as a `with` lasts, and no longer even if this process is killed.

An offset and a size limit make a partition a device where the kernel offers no loop partitions. LOOP_CONFIGURE sets
everything at once, "clear when the last one closes it" included (Linux 5.8, include/uapi/linux/loop.h).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
AUTOCLEAR = 4
ATTEMPTS = 50  # a free device may be taken by another process before we have it

# struct loop_config: fd, block_size, loop_info64 (device, inode, rdevice, offset, sizelimit, number, encrypt_type,
# encrypt_key_size, flags, file_name, crypt_name, encrypt_key, init), reserved
CONFIG = struct.Struct("=II 5Q4I 64s64s32s 2Q 64x")


@contextmanager
def loop_device(file: Path, offset: int, size: int) -> Iterator[Path]:
    """The device over ``size`` bytes of ``file`` from ``offset`` on. OSError: none is free, or not root."""
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, handle = _configured(backing, file, offset, size)
    finally:
        os.close(backing)
    try:
        yield device
    finally:
        os.close(handle)


def _configured(backing: int, file: Path, offset: int, size: int) -> tuple[Path, int]:
    name = os.fsencode(file)[:63]
    config = CONFIG.pack(backing, 0, 0, 0, 0, offset, size, 0, 0, 0, AUTOCLEAR, name, b"", b"", 0, 0)
    for _ in range(ATTEMPTS):
        with open("/dev/loop-control", "rb") as control:
            device = Path(f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}")
        handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, LOOP_CONFIGURE, config)
        except OSError as error:
            os.close(handle)
            if error.errno != errno.EBUSY:
                raise
        else:
            return device, handle
    raise OSError(errno.EBUSY, "no loop device stayed free long enough", str(file))
