"""GRUB on a plain disk file: what grub-install does, without a device, a mount or a BIOS to ask.

The boot sector loads the first sector of the core image, which loads the rest of it. Both addresses are written here,
into the places grub-core's boot.S and diskboot.S reserve for them.
"""

from __future__ import annotations

import struct
from pathlib import Path

SECTOR = 512
BOOT_SECTOR = Path("/usr/lib/grub/i386-pc/boot.img")
CORE_SECTOR = 2048  # where partition 14 begins: disk.sh's GRUB_START
CODE_END = 440  # behind it stand the disk's signature and the partition table
CORE_ADDRESS = 0x5C  # boot.S: kernel_sector
DRIVE_CHECK = 0x66  # boot.S: a jump that lets GRUB ignore the drive the BIOS booted from
BLOCK_LIST = 0x1F4  # diskboot.S: first sector, sectors, segment of the rest of the core
LOAD_SEGMENT = 0x820


def embed_grub(disk: Path, core: bytes, boot_sector: Path = BOOT_SECTOR) -> None:
    """Make `disk` start `core`, an image by grub-mkimage, when a BIOS boots it."""
    image = bytearray(core)
    sectors = -(-len(image) // SECTOR)
    struct.pack_into("<QHH", image, BLOCK_LIST, CORE_SECTOR + 1, sectors - 1, LOAD_SEGMENT)
    with disk.open("r+b") as file:
        first = bytearray(file.read(SECTOR))
        first[:CODE_END] = boot_sector.read_bytes()[:CODE_END]
        struct.pack_into("<Q", first, CORE_ADDRESS, CORE_SECTOR)
        first[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"  # as grub-install does
        file.seek(0)
        file.write(first)
        file.seek(CORE_SECTOR * SECTOR)
        file.write(image)
