"""The ELF kernel inside a bzImage: QEMU enters it directly (PVH), and no emulated processor has to unpack it.

A bzImage is a small loader with a compressed ELF file somewhere behind it; where, only the loader knows, so every
place that looks like the beginning of a compressed stream is tried (as the kernel's scripts/extract-vmlinux does).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

ELF = b"\x7fELF"
UNPACKERS = (  # magic bytes, command; its status says nothing, because the stream ends before the file does
    (b"\x28\xb5\x2f\xfd", ("zstd", "-dcq")),
    (b"\x02\x21\x4c\x18", ("lz4", "-dcq")),
    (b"\xfd7zXZ\x00", ("xz", "-dcq")),
    (b"\x1f\x8b\x08", ("gzip", "-dcq")),
)


class NoKernelFound(ValueError):
    """The file holds no ELF kernel in any known compression."""


def extract_vmlinux(bzimage: bytes) -> bytes:
    """The uncompressed kernel of `bzimage`; `NoKernelFound` when there is none."""
    for magic, command in UNPACKERS:
        for start in _places(bzimage, magic):
            unpacked = subprocess.run(command, input=bzimage[start:], capture_output=True).stdout
            if unpacked.startswith(ELF):
                return unpacked
    raise NoKernelFound("no ELF kernel in this file: is it a bzImage, and are zstd, lz4, xz and gzip installed?")


def _places(data: bytes, magic: bytes) -> Iterator[int]:
    place = data.find(magic)
    while place >= 0:
        yield place
        place = data.find(magic, place + 1)
