"""A VMDK image looked at: the sparse kinds that are one file, monolithicSparse and streamOptimized, and no other.

Source: VMware's Virtual Disk Format 5.0 and how QEMU's block/vmdk.c reads it. An embedded descriptor is text that can
name other files, and QEMU follows it in more cases than the format knows (a capacity of 0, a hint of a parent in any
place): so the descriptor has to be all understood, and the header has to be one that leads QEMU to no other text.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

from infra.domain.errors import ImageRefused
from infra.domain.image_source import DEFLATE_RATIO, SECTOR, Balance, Source, checked_size, exactly, numbers, within
from infra.domain.vmdk_descriptor import STREAM, check_descriptor

MAGIC = b"KDMV"
HEADER = struct.Struct("<4sIIQQQQIQQQB4sH433s")
MARKER = struct.Struct("<QII496s")
GRAIN = struct.Struct("<QI")  # before a compressed grain: its place on the disk, its length in bytes
VERSIONS = (1, 2, 3)
NEWLINES, REDUNDANT, ZEROED, COMPRESSED, MARKED = 1, 2, 4, 1 << 16, 1 << 17
NEWLINE = b"\n \r\n"  # as it was written: a transfer as text shows in it
AT_END = 2**64 - 1  # the directory's place stands in the footer
FOOTER, END_OF_STREAM = 3, 0
TABLE_ENTRIES = 512
GRAINS = tuple(2**power for power in range(3, 12))  # sectors: 4 KiB to 1 MiB
DESCRIPTOR_AT, DESCRIPTOR_LIMIT = 1, 2048  # sectors


@dataclass(frozen=True, slots=True)
class Header:
    """Places and sizes are in sectors."""

    version: int
    flags: int
    capacity: int
    grain: int
    descriptor: int
    descriptor_size: int
    table_entries: int
    redundant_directory: int
    directory: int
    overhead: int
    unclean: int
    newline: bytes
    compression: int
    padding: bytes


def inspect_vmdk(source: Source, limit: int) -> tuple[str, int]:
    """Its kind and the size in bytes of the disk inside. ImageRefused: it is not accepted."""
    header = _header(exactly(source, 0, HEADER.size, "the header"))
    if header.capacity == 0:
        raise ImageRefused("the VMDK holds no data itself: its size is 0, its data would be in other files")
    if header.descriptor != DESCRIPTOR_AT or not 0 < header.descriptor_size <= DESCRIPTOR_LIMIT:
        raise ImageRefused("the VMDK is damaged: its descriptor is not where it has to be")
    text = exactly(source, DESCRIPTOR_AT * SECTOR, header.descriptor_size * SECTOR, "the descriptor")
    kind = check_descriptor(text, header.capacity)
    if header.directory == AT_END:
        header = _from_footer(source, header)
    _check(header, kind)
    size = checked_size(header.capacity * SECTOR, limit)
    _follow(source, header)
    return kind, size


def _header(content: bytes) -> Header:
    magic, *fields = HEADER.unpack(content)
    header = Header(*fields)
    if magic != MAGIC:
        raise ImageRefused("the VMDK is damaged: what has to be its header is none")
    if header.version not in VERSIONS:
        raise ImageRefused(f"VMDK of version {header.version} is not accepted, only of versions 1 to 3")
    if header.newline != NEWLINE and header.flags & NEWLINES:
        raise ImageRefused("the VMDK was damaged by a transfer as text")
    if any(header.padding):
        raise ImageRefused("the VMDK is damaged: its header holds what is not known")
    return header


def _from_footer(source: Source, header: Header) -> Header:
    """The header at the end, which counts. It may differ from the first only in what it adds."""
    at = source.size - 3 * SECTOR
    if at < 0 or source.size % SECTOR:
        raise ImageRefused("the file is cut off: the footer of the VMDK is missing")
    marker = MARKER.unpack(exactly(source, at, SECTOR, "the footer"))
    end = MARKER.unpack(exactly(source, at + 2 * SECTOR, SECTOR, "the footer"))
    if marker[1:3] != (0, FOOTER) or end[:3] != (0, 0, END_OF_STREAM):
        raise ImageRefused("the file is cut off: the footer of the VMDK is missing")
    footer = _header(exactly(source, at + SECTOR, SECTOR, "the footer"))
    if (footer.capacity, footer.flags, footer.grain, footer.table_entries, footer.compression) != (
        header.capacity,
        header.flags,
        header.grain,
        header.table_entries,
        header.compression,
    ) or (footer.descriptor, footer.descriptor_size) not in ((0, 0), (DESCRIPTOR_AT, header.descriptor_size)):
        raise ImageRefused("the VMDK is damaged: its header and its footer do not agree")
    return footer


def _check(header: Header, kind: str) -> None:
    stream = kind == STREAM
    if header.flags & ~(NEWLINES | REDUNDANT | ZEROED | COMPRESSED | MARKED):
        raise ImageRefused(f"the VMDK needs features that are not known (flags {header.flags:#x})")
    if bool(header.flags & COMPRESSED) != stream or header.compression != stream:  # 1 is deflate
        raise ImageRefused(f"the VMDK is damaged: it says that it is {kind}, and its header says otherwise")
    if header.unclean:
        raise ImageRefused("the VMDK was not closed when it was last written to; repair it and bring it again")
    if header.grain not in GRAINS or header.table_entries != TABLE_ENTRIES:
        raise ImageRefused(
            f"the VMDK is damaged: grains of {header.grain} sectors in tables of {header.table_entries} do not exist"
        )
    if header.directory in (0, AT_END):
        raise ImageRefused("the VMDK is damaged: it has no grain directory")


def _follow(source: Source, header: Header) -> None:
    """Every grain that the tables name is in the file, and all of them have room in it."""
    entries = -(-header.capacity // (header.grain * TABLE_ENTRIES))
    if header.flags & REDUNDANT:
        within(source, header.redundant_directory * SECTOR, entries * 4, "the second grain directory")
    compressed = bool(header.flags & COMPRESSED)
    grain = header.grain * SECTOR
    needed = 1 + grain // DEFLATE_RATIO if compressed else grain
    room = source.size // SECTOR - (1 if compressed else header.grain)  # the last sector at which a grain may begin
    balance, last = Balance(source, 0), 0
    for directory in numbers(source, header.directory * SECTOR, entries, 4, "little", "the grain directory"):
        for table in filter(None, directory):
            balance.claim(TABLE_ENTRIES * 4)
            balance.look_at(TABLE_ENTRIES)
            for grains in numbers(source, table * SECTOR, TABLE_ENTRIES, 4, "little", "a grain table"):
                last = max(last, _check_grains(grains, room, balance, needed, bool(header.flags & ZEROED)))
    if compressed and last:
        _, length = GRAIN.unpack(exactly(source, last * SECTOR, GRAIN.size, "the last grain"))
        within(source, last * SECTOR + GRAIN.size, length, "the last grain")


def _check_grains(grains: array[int], room: int, balance: Balance, needed: int, zeroed: bool) -> int:
    """The place of the last of them."""
    last = 0
    for place in filter(None, grains):
        if place == 1 and zeroed:
            continue
        if place > room:
            raise ImageRefused(f"the file is cut off: its data goes on in sector {place}, where it has ended")
        balance.claim(needed)
        last = max(last, place)
    return last
