"""Disks to bring in: small ones with a partition, in each format, made by qemu-img as owners make theirs."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
from pathlib import Path
from typing import Literal

MIB = 2**20
SECTOR = 512

Kind = Literal["qcow2", "raw", "vmdk", "streamOptimized"]


def raw_disk(size: int = 8 * MIB, seed: int = 1, filled: int = MIB) -> bytes:
    """A disk with one partition, and something in it that is no zeros and does not compress."""
    disk = bytearray(size)
    first, count = 2048, size // SECTOR - 2048
    disk[446:462] = struct.pack("<BBBBBBBBII", 0x80, 0, 0, 0, 0x83, 0, 0, 0, first, count)
    disk[510:512] = b"\x55\xaa"
    disk[first * SECTOR : first * SECTOR + filled] = random.Random(seed).randbytes(filled)
    return bytes(disk)


def disk_file(directory: Path, kind: Kind, disk: bytes) -> bytes:
    """The same disk as a file of that kind."""
    raw, made = directory / "made.raw", directory / f"made.{kind}"
    raw.write_bytes(disk)
    if kind == "raw":
        return disk
    options = ["-O", "vmdk", "-o", "subformat=streamOptimized"] if kind == "streamOptimized" else ["-O", kind]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *options, raw, made], check=True)
    return made.read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
