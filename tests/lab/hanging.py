"""A file system in user space that answers its mount and nothing else: ``hanging.py MOUNT``.

Who asks it holds its device open, as ceph-fuse's own `mount` does. So nobody's end lets go of him, and he cannot be
killed. The protocol is that of linux/fuse.h, from 7.23 on.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

INIT_ANSWER = struct.Struct("=IIIIHHIIHHI28x")
HEADER = struct.Struct("=IiQ")


def main(mount: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"hanging", os.fsencode(mount), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    _, _, request = struct.unpack_from("=IIQ", os.read(device, 1 << 17))
    answer = INIT_ANSWER.pack(7, 23, 0, 0, 0, 0, 1 << 16, 1, 0, 0, 0)
    os.write(device, HEADER.pack(HEADER.size + len(answer), 0, request) + answer)
    if os.fork() == 0:
        os.stat(mount)
    os.read(device, 1 << 17)  # taken, and never answered


if __name__ == "__main__":
    main(sys.argv[1])
