"""The marks by which other formats are known, at every place where one of them may stand.

A disk that is raw may hold anything at all, another format's header as well: the guest wrote it there so that a later
reader takes the disk for that format. So a raw disk that bears any of these marks is refused, and so is a qcow2 or a
VMDK that could also be read as a disk. The list follows the probes of qemu-img 7.2 (``block/*.c``) and of file(1).
"""

from __future__ import annotations

import re

from infra.domain.errors import ImageRefused
from infra.domain.image_source import SECTOR, Source

AT_THE_START = {
    b"COWD": "a VMDK of an old kind (COWD, vmdk3 or ESX); convert it to a streamOptimized VMDK or to qcow2",
    b"conectix": "a VHD image; convert it to qcow2",
    b"vhdxfile": "a VHDX image; convert it to qcow2",
    b"QED\x00": "a QED image; convert it to qcow2",
    b"LUKS\xba\xbe": "an encrypted (LUKS) image",
    b"SKUL\xba\xbe": "an encrypted (LUKS) image",
    b"WithoutFreeSpace": "a Parallels image; convert it to qcow2",
    b"WithouFreSpacExt": "a Parallels image; convert it to qcow2",
    b"Bochs Virtual HD Image": "a Bochs image; convert it to qcow2",
    b"#!/bin/sh\n#V2.0 Format": "a cloop image; convert it to qcow2",
    b"OOOM": "a UML copy-on-write image; convert it to qcow2",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"\xfd7zXZ\x00": "compressed with xz; unpack it first",
    b"BZh": "compressed with bzip2; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
}
ELSEWHERE = (
    (0x40, b"\x7f\x10\xda\xbe", "a VDI image; convert it to qcow2"),
    (257, b"ustar", "a tar archive or an OVA; unpack it and bring the disk in it"),
    *(
        (sector * 2048 + 1, mark, "the image of a CD or DVD, not of a disk")
        for sector in range(16, 20)
        for mark in (b"CD001", b"CDW02", b"BEA01", b"NSR02", b"NSR03")
    ),
)
FROM_THE_END = (
    (512, b"conectix", "a VHD image; convert it to qcow2"),
    (511, b"conectix", "a VHD image; convert it to qcow2"),  # Virtual PC's footer before 2004 was a byte shorter
    (512, b"koly", "a DMG image; convert it to qcow2"),
)
DESCRIPTOR, FIRST_FIELD = b"disk descriptorfile", re.compile(rb"version *= *[0-9]", re.I)
DISK_MARKS = (
    (SECTOR - 2, b"\x55\xaa", "an MBR"),
    (SECTOR, b"EFI PART", "a GPT"),
)
BEGINNING = 10 * 2**10  # bytes in which a descriptor's first line with a meaning is looked for


def refuse_foreign(source: Source) -> None:
    """ImageRefused: what is to be a raw disk bears the mark of something else."""
    beginning = source.read(0, BEGINNING)
    for mark, what in AT_THE_START.items():
        if beginning.startswith(mark):
            raise ImageRefused(f"the file is {what}")
    if _is_descriptor(beginning):
        raise ImageRefused(
            "the file is only the descriptor of a VMDK, whose data is in other files; convert it to one file, a "
            "monolithicSparse or streamOptimized VMDK"
        )
    found = _marked(source)
    if found:
        raise ImageRefused(f"the file is {found}")


def refuse_second_format(source: Source, format: str) -> None:
    """ImageRefused: what begins as a ``format`` could be read as something else, too."""
    found = _marked(source)
    if found:
        raise ImageRefused(f"the file begins like a {format} image and is at the same time {found}")
    for at, mark, table in DISK_MARKS:
        if source.read(at, len(mark)) == mark:
            raise ImageRefused(
                f"the file begins like a {format} image and is at the same time a raw disk with {table}; which of "
                "them is meant cannot be told"
            )


def _is_descriptor(beginning: bytes) -> bool:
    """As QEMU sees it: comments and empty lines, then the version; the first comment alone is enough for us."""
    for line in map(bytes.strip, beginning.split(b"\n")):
        if line.startswith(b"#") and DESCRIPTOR in line.lower():
            return True
        if line and not line.startswith(b"#"):
            return bool(FIRST_FIELD.match(line))
    return False


def _marked(source: Source) -> str | None:
    places = (*ELSEWHERE, *((source.size - back, mark, what) for back, mark, what in FROM_THE_END))
    for at, mark, what in places:
        if at >= 0 and source.read(at, len(mark)) == mark:
            return what
    return None
