"""Files that are no raw disk, or not only that: each refusal, and a word of what the user is told."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from infra.domain.image_signatures import AT_THE_START
from tests.images.good import Good, patched

Made = Callable[[Good], bytes]
ENTRY = 446  # of the first partition in an MBR


def gpt(offset: int, new: bytes) -> Made:
    return lambda good: patched(good["raw-gpt"], offset, new)


def mbr(offset: int, new: bytes) -> Made:
    return lambda good: patched(good["raw-mbr"], offset, new)


def signed(offset: int, new: bytes, entries: bool = False) -> Made:
    """Another GPT header (or entries), its checksums right."""

    def make(good: Good) -> bytes:
        disk = patched(good["raw-gpt"], (1024 if entries else 512) + offset, new)
        disk = (
            patched(disk, 512 + 88, struct.pack("<I", zlib.crc32(disk[1024 : 1024 + 128 * 128]))) if entries else disk
        )
        header = patched(disk[512:1024], 16, bytes(4))
        return patched(disk, 528, struct.pack("<I", zlib.crc32(header[:92])))

    return make


BAD: dict[str, tuple[Made, str]] = {
    "empty": (lambda good: b"", "is empty"),
    "one byte": (lambda good: b"x", "no partition table"),
    "zeros": (lambda good: bytes(65536), "no partition table"),
    "text": (lambda good: b"Not found\n" * 1000, "no partition table"),
    "a web page": (lambda good: b"<!DOCTYPE html><html>".ljust(4096), "no partition table"),
    "file system without a table": (lambda good: good["raw-gpt"][2**20 :], "no partition table"),
    "boot sector of a file system": (
        mbr(ENTRY, b"Missing operating system\r\n\0".ljust(64, b"x")),
        "no partition table",
    ),
    "MBR without partitions": (mbr(ENTRY, bytes(64)), "no partition table"),
    "MBR without its mark": (mbr(510, b"\0\0"), "no partition table"),
    "MBR's partition past the end": (mbr(ENTRY + 12, struct.pack("<I", 2**32 - 1)), "cut off"),
    "MBR's partition over the MBR": (mbr(ENTRY + 8, struct.pack("<I", 0)), "overlap"),
    "MBR's partitions overlap": (
        mbr(ENTRY + 16, bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + struct.pack("<II", 4096, 8)),
        "overlap",
    ),
    "MBR disk cut off": (lambda good: good["raw-mbr"][: 3 * 2**20], "cut off"),
    "MBR disk cut within a sector": (lambda good: good["raw-mbr"][:-1], "no whole sectors"),
    "MBR and GPT": (
        lambda good: good["raw-mbr"][:512] + good["raw-gpt"][512:],
        "two partition tables",
    ),
    "protected GPT that is not there": (gpt(512, bytes(512)), "GPT) of the disk is damaged"),
    "GPT of large sectors": (
        lambda good: patched(patched(good["raw-gpt"], 512, bytes(8)), 4096, b"EFI PART"),
        "sectors of 4096 bytes",
    ),
    "GPT with a bit turned": (gpt(512 + 40, b"\x23"), "checksum is wrong"),
    "GPT's entries with a bit turned": (gpt(1024 + 56, b"Z"), "checksum is wrong"),
    "GPT of another revision": (signed(8, struct.pack("<I", 0x20000)), "GPT) of the disk is damaged"),
    "GPT's header too long": (signed(12, struct.pack("<I", 2**32 - 1)), "GPT) of the disk is damaged"),
    "GPT's header too short": (signed(12, struct.pack("<I", 8)), "GPT) of the disk is damaged"),
    "GPT elsewhere": (signed(24, struct.pack("<Q", 2)), "GPT) of the disk is damaged"),
    "GPT without entries": (signed(80, struct.pack("<I", 0)), "cannot be of that size"),
    "GPT of too many entries": (signed(80, struct.pack("<I", 2**32 - 1)), "cannot be of that size"),
    "GPT of odd entries": (signed(84, struct.pack("<I", 127)), "cannot be of that size"),
    "GPT's entries past the end": (signed(72, struct.pack("<Q", 2**40)), "cut off"),
    "GPT's entries past all bounds": (signed(72, struct.pack("<Q", 2**64 - 1)), "cut off"),
    "GPT without its second": (signed(32, struct.pack("<Q", 4096)), "second partition table"),
    "GPT whose second is past the end": (signed(32, struct.pack("<Q", 2**64 - 1)), "cut off"),
    "GPT without partitions": (signed(0, bytes(128), entries=True), "has no partition"),
    "GPT's partition backwards": (signed(40, struct.pack("<Q", 2047), entries=True), "overlap"),
    "GPT's partition out of bounds": (signed(40, struct.pack("<Q", 2**40), entries=True), "outside of its bounds"),
    "GPT disk cut off": (lambda good: good["raw-gpt"][: 5 * 2**20], "cut off"),
    "GPT disk cut by a sector": (lambda good: good["raw-gpt"][:-512], "cut off"),
    "GPT disk cut within a sector": (lambda good: good["raw-gpt"][:-7], "no whole sectors"),
    "disk of a fixed VHD": (lambda good: good["raw-gpt"] + b"conectix".ljust(512, b"\0"), "VHD"),
    "disk of an old fixed VHD": (lambda good: good["raw-gpt"] + b"conectix".ljust(511, b"\0"), "VHD"),
    "disk of a DMG": (lambda good: good["raw-gpt"] + b"koly".ljust(512, b"\0"), "DMG"),
    "VDI": (gpt(64, b"\x7f\x10\xda\xbe"), "VDI"),
    "OVA": (gpt(257, b"ustar"), "tar archive"),
    "hybrid CD": (mbr(32769, b"CD001"), "CD or DVD"),
    "hybrid DVD": (mbr(34817, b"BEA01"), "CD or DVD"),
    "qcow2 header in a guest's disk": (
        lambda good: good["qcow2-v3"][:112] + good["raw-gpt"][112:],
        "raw disk with an MBR",
    ),
    "VMDK header in a guest's disk": (
        lambda good: good["vmdk-sparse"][:79] + good["raw-mbr"][79:],
        "raw disk with an MBR",
    ),
    "VMDK header in a guest's disk without MBR": (
        lambda good: good["vmdk-sparse"][:512] + good["raw-gpt"][512:],
        "raw disk with a GPT",
    ),
    "descriptor in a guest's disk": (gpt(0, b"# Disk DescriptorFile\nversion=1\n"), "only the descriptor of a VMDK"),
    "hidden descriptor in a guest's disk": (gpt(0, b"\n#\n version = 1\n"), "only the descriptor of a VMDK"),
    **{
        f"{mark!r} in a guest's disk": (gpt(0, mark), f"the file is {what}")  # GPT disks have room for a header there
        for mark, what in AT_THE_START.items()
    },
}
