"""Partition tables of disks: read, and rewritten so that the root partition fills a longer disk. GPT and MBR.

Pure, so that no program of the host's ever parses a table that somebody else wrote: what is here looks at few bytes,
believes none of them and says what is to be written where. Sectors are of 512 bytes, as every guest sees its disk.
Sources: the UEFI specification, chapter 5; for MBR and its chain of extended records, sfdisk's own reading of them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

SECTOR = 512
ALIGN = 2**20 // SECTOR  # where partitions end, as all tools of today make them
MOST_ENTRIES = 1024  # of a GPT; all tools write 128
LONGEST_CHAIN = 128  # of logical partitions
MBR_END = 2**32  # sectors: where the numbers of an MBR end

Read = Callable[[int, int], bytes]
"""(offset, length) -> bytes; fewer where the disk ends."""
Writes = list[tuple[int, bytes]]
"""What is to be written, and at which offset, in this order."""

ENTRY = struct.Struct("<B3sB3sII")  # MBR: status, CHS of the start, type, CHS of the end, start, sectors
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
LAST_CHS = b"\xfe\xff\xff"  # beyond what CHS can say

PROTECTIVE, EXTENDED = 0xEE, (0x05, 0x0F, 0x85)
LINUX_MBR = (0x83, 0x8E, 0xFD)
LINUX_GPT = {
    "0fc63daf-8483-4772-8e79-3d69d8477de4",  # Linux filesystem
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",  # root, x86-64
    "44479540-f297-41b2-9af7-d131d5f0458a",  # root, x86
    "b921b045-1df0-41c3-af44-4c6f280d3fae",  # root, arm64
    "8484680c-9521-48c6-9c11-b0720656f69e",  # /usr, x86-64
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915",  # /home
    "e6d6d379-f507-44c2-a23c-238f2a3df928",  # LVM
    "a19d880f-05fc-4d3b-a006-743f0f84911e",  # RAID
}


class CannotGrow(Exception):
    """Nothing can be put at the end of this disk's root. The message goes on from "cannot be enlarged: "."""


@dataclass(frozen=True, slots=True)
class Partition:
    """In sectors. ``at``: where its entry in the table is, in bytes."""

    number: int
    start: int
    sectors: int
    linux: bool
    at: int

    @property
    def end(self) -> int:
        return self.start + self.sectors


@dataclass(frozen=True, slots=True)
class Table:
    """``chain``: of an extended partition, its own entry and those that link it together, each with its base."""

    kind: Literal["gpt", "dos"]
    partitions: tuple[Partition, ...]
    sectors: int
    extended: Partition | None = None
    chain: tuple[Partition, ...] = ()

    @property
    def root(self) -> Partition | None:
        """The largest partition of Linux; of equal ones the last."""
        mine = (partition for partition in self.partitions if partition.linux)
        return max(mine, key=lambda partition: (partition.sectors, partition.start), default=None)

    @property
    def last(self) -> Partition | None:
        return max(self.partitions, key=lambda partition: partition.end, default=None)


def read_table(read: Read, size: int) -> Table | None:
    """The table of a disk of ``size`` bytes; None: it has none, or one that is not understood."""
    first = read(0, SECTOR)
    if len(first) < SECTOR or first[510:] != b"\x55\xaa":
        return None
    entries = _entries(first, 0)
    if any(kind == PROTECTIVE for _, kind, _, _ in entries):
        return _gpt(read, size // SECTOR)
    return _dos(read, entries, size // SECTOR)


def root_to_grow(table: Table) -> Partition | None:
    """The root, when it lies last; None: there is none that we know. CannotGrow: something lies behind it."""
    root, last = table.root, table.last
    if root is None or last is None:
        return None
    if last != root:
        raise CannotGrow(f"partition {last.number} lies behind its root, which is partition {root.number}")
    return root


def grown(read: Read, table: Table, root: Partition, size: int) -> tuple[Partition, Writes]:
    """The root as it is on a disk of ``size`` bytes, filling it, and what makes the table say so."""
    return (_grown_gpt if table.kind == "gpt" else _grown_dos)(read, table, root, size // SECTOR)


def _entries(sector: bytes, base: int) -> list[tuple[int, int, int, int]]:
    """Used entries of a boot record: (offset in bytes, type, start, sectors)."""
    found = []
    for index in range(4):
        at = 446 + 16 * index
        _, _, kind, _, start, sectors = ENTRY.unpack_from(sector, at)
        if kind and sectors:
            found.append((base * SECTOR + at, kind, start, sectors))
    return found


def _dos(read: Read, entries: list[tuple[int, int, int, int]], sectors: int) -> Table | None:
    partitions, extended = list[Partition](), None
    chain: tuple[Partition, ...] = ()
    for at, kind, start, length in entries:
        one = Partition((at - 446) // 16 + 1, start, length, kind in LINUX_MBR, at)
        if not 0 < one.start < one.end <= sectors:
            return None
        if kind in EXTENDED:
            extended = one
        else:
            partitions.append(one)
    if extended is not None:
        found = _logical(read, extended)
        if found is None:
            return None
        logical, chain = found
        partitions += logical
    return Table("dos", tuple(partitions), sectors, extended, chain) if partitions else None


def _logical(read: Read, extended: Partition) -> tuple[list[Partition], tuple[Partition, ...]] | None:
    """The logical partitions, and the links between their records; None: not understood."""
    partitions, chain, record = list[Partition](), list[Partition](), extended.start
    for number in range(5, 5 + LONGEST_CHAIN):
        sector = read(record * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
            return None
        following = None
        for at, kind, start, length in _entries(sector, record):
            if kind in EXTENDED:
                following = Partition(number, extended.start + start, length, False, at)
            else:
                partitions.append(Partition(number, record + start, length, kind in LINUX_MBR, at))
        if any(not extended.start < one.start < one.end <= extended.end for one in partitions):
            return None
        if following is None:
            return partitions, tuple(chain)
        if following.start <= record:  # a chain that goes on for ever
            return None
        chain.append(following)
        record = following.start
    return None


def _grown_dos(read: Read, table: Table, root: Partition, sectors: int) -> tuple[Partition, Writes]:
    end = max(root.end, min(sectors, MBR_END) // ALIGN * ALIGN)
    longer = [root]
    if table.extended is not None and root.number > 4:
        longer += [table.extended, *[link for link in table.chain if link.start < root.start][-1:]]
    writes = []
    for one in longer:
        entry = bytearray(read(one.at, 16))
        entry[5:8] = LAST_CHS
        entry[12:16] = struct.pack("<I", end - one.start)
        writes.append((one.at, bytes(entry)))
    return replace(root, sectors=end - root.start), writes


@dataclass(frozen=True, slots=True)
class _Header:
    """A GPT's header. ``raw``: as long as it says it is."""

    raw: bytes
    mine: int
    other: int
    entries: int
    count: int
    width: int

    @property
    def room(self) -> int:
        """Sectors that its entries take."""
        return -(-self.count * self.width // SECTOR)

    def moved(self, mine: int, other: int, entries: int, last_usable: int, crc: int) -> bytes:
        """A sector with this header as it is elsewhere, its checksum right."""
        raw = bytearray(self.raw)
        struct.pack_into("<QQ", raw, 24, mine, other)
        struct.pack_into("<Q", raw, 48, last_usable)
        struct.pack_into("<Q", raw, 72, entries)
        struct.pack_into("<I", raw, 88, crc)
        struct.pack_into("<I", raw, 16, 0)
        struct.pack_into("<I", raw, 16, zlib.crc32(raw))
        return bytes(raw).ljust(SECTOR, b"\0")


def _header(sector: bytes) -> _Header | None:
    if len(sector) < SECTOR:
        return None
    magic, _, length, crc, _, mine, other, _, _, _, entries, count, width, _ = HEADER.unpack_from(sector)
    if magic != b"EFI PART" or not HEADER.size <= length <= SECTOR:
        return None
    raw = sector[:length]
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:]) != crc:
        return None
    if not 0 < count <= MOST_ENTRIES or width not in (128, 256, 512) or entries < 2:
        return None
    return _Header(raw, mine, other, entries, count, width)


def _gpt(read: Read, sectors: int) -> Table | None:
    header = _header(read(SECTOR, SECTOR))
    if header is None:
        return None
    entries = read(header.entries * SECTOR, header.count * header.width)
    if zlib.crc32(entries) != struct.unpack_from("<I", header.raw, 88)[0]:
        return None
    partitions = []
    for index in range(header.count):
        entry = entries[index * header.width : (index + 1) * header.width]
        if entry[:16].strip(b"\0"):
            start, last = struct.unpack_from("<QQ", entry, 32)
            at = header.entries * SECTOR + index * header.width
            partitions.append(Partition(index + 1, start, last + 1 - start, _guid(entry) in LINUX_GPT, at))
    if any(not 0 < one.start < one.end <= sectors for one in partitions):
        return None
    return Table("gpt", tuple(partitions), sectors) if partitions else None


def _guid(entry: bytes) -> str:
    a, b, c = struct.unpack_from("<IHH", entry)
    return f"{a:08x}-{b:04x}-{c:04x}-{entry[8:10].hex()}-{entry[10:16].hex()}"


def _grown_gpt(read: Read, table: Table, root: Partition, sectors: int) -> tuple[Partition, Writes]:
    """Both copies are written, the one at the new end first, and the one at the old end is gone."""
    header = _header(read(SECTOR, SECTOR))
    assert header is not None, "it was one when the table was read"
    backup = sectors - 1 - header.room
    if backup < root.end:
        raise CannotGrow("its partition table has no room for its second copy")
    end = max(root.end, backup // ALIGN * ALIGN)
    entries = bytearray(read(header.entries * SECTOR, header.count * header.width))
    struct.pack_into("<Q", entries, root.at - header.entries * SECTOR + 40, end - 1)
    crc = zlib.crc32(entries)
    boot = bytearray(read(0, SECTOR))
    for at, kind, start, _ in _entries(bytes(boot), 0):
        if kind == PROTECTIVE:
            boot[at + 12 : at + 16] = struct.pack("<I", min(sectors - start, MBR_END - 1))
    old = header.other
    return replace(root, sectors=end - root.start), [
        *([(old * SECTOR, bytes(SECTOR))] if root.end <= old < table.sectors else []),
        (backup * SECTOR, bytes(entries)),
        ((sectors - 1) * SECTOR, header.moved(sectors - 1, 1, backup, backup - 1, crc)),
        (header.entries * SECTOR, bytes(entries)),
        (SECTOR, header.moved(1, sectors - 1, header.entries, backup - 1, crc)),
        (0, bytes(boot)),
    ]
