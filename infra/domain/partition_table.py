"""The partition table of a raw disk: GPT or MBR, whole, and all of it inside the disk.

A raw disk has no mark of its own; its partition table is what tells it from any other file, and where a disk that was
cut off shows it. Sources: the UEFI specification 2.10, chapter 5; the MBR as it is commonly understood.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise

from infra.domain.errors import ImageRefused
from infra.domain.image_source import SECTOR, Source, exactly

MBR_ENTRY = struct.Struct("<B3xB3xII")
MBR_AT, MBR_ENTRIES = 446, 4
BOOT_MARK = b"\x55\xaa"
PROTECTIVE = 0xEE
GPT = struct.Struct("<8sIIII QQQQ 16s QIII")
GPT_MARK, GPT_REVISION = b"EFI PART", 0x10000
GPT_ENTRY = struct.Struct("<16s16sQQ")
TABLE_LIMIT = 2**20  # bytes; 16 KiB are usual
NO_TABLE = "the file is neither a qcow2 nor a VMDK, and no raw disk either: it has no partition table (GPT or MBR)"


@dataclass(frozen=True, slots=True)
class Span:
    """Sectors, both counted in."""

    first: int
    last: int


def partition_table(source: Source) -> str:
    """ "gpt" or "mbr". ImageRefused: there is no table, it is damaged, or the disk is cut off."""
    if source.size < 2 * SECTOR:
        raise ImageRefused(NO_TABLE)
    primary, protective = _mbr(source)
    gpt = source.read(SECTOR, len(GPT_MARK)) == GPT_MARK
    if source.size % SECTOR:
        raise ImageRefused(f"the disk is cut off: its {source.size} bytes are no whole sectors of {SECTOR}")
    if not protective and gpt:
        raise ImageRefused("the disk has two partition tables, an MBR and a GPT; which of them is meant cannot be told")
    if protective and not gpt:
        if source.read(8 * SECTOR, len(GPT_MARK)) == GPT_MARK:
            raise ImageRefused("the disk has sectors of 4096 bytes; only such of 512 bytes are accepted")
        raise ImageRefused("the partition table (GPT) of the disk is damaged")
    _check_spans(_gpt(source) if gpt else primary, source)
    return "gpt" if gpt else "mbr"


def _mbr(source: Source) -> tuple[list[Span], bool]:
    """The partitions, and whether they only stand there to protect a GPT."""
    sector = exactly(source, 0, SECTOR, "the MBR")
    entries = [MBR_ENTRY.unpack_from(sector, MBR_AT + number * MBR_ENTRY.size) for number in range(MBR_ENTRIES)]
    used = [(kind, first, count) for _, kind, first, count in entries if kind and count]
    # A file system without a table bears the same mark and has its boot code where the entries would be.
    if not sector.endswith(BOOT_MARK) or not used or any(status & 0x7F for status, *_ in entries):
        raise ImageRefused(NO_TABLE)
    return [Span(first, first + count - 1) for _, first, count in used], PROTECTIVE in (kind for kind, *_ in used)


def _gpt(source: Source) -> list[Span]:
    header = exactly(source, SECTOR, SECTOR, "the partition table")
    fields = GPT.unpack_from(header)
    revision, length, checksum, _, here, backup, first_usable, last_usable = fields[1:9]
    table, count, width, table_checksum = fields[10:]
    blank = header[:16] + bytes(4) + header[20:]
    if revision != GPT_REVISION or not GPT.size <= length <= SECTOR or here != 1:
        raise ImageRefused("the partition table (GPT) of the disk is damaged")
    if zlib.crc32(blank[:length]) != checksum:
        raise ImageRefused("the partition table (GPT) of the disk is damaged: its checksum is wrong")
    if exactly(source, backup * SECTOR, SECTOR, "the second partition table")[: len(GPT_MARK)] != GPT_MARK:
        raise ImageRefused("the disk is cut off or damaged: the second partition table (GPT) is not where it should be")
    if width < 128 or width % 8 or not 0 < count * width <= TABLE_LIMIT:
        raise ImageRefused("the partition table (GPT) of the disk is damaged: it cannot be of that size")
    entries = exactly(source, table * SECTOR, count * width, "the partition table")
    if zlib.crc32(entries) != table_checksum:
        raise ImageRefused("the partition table (GPT) of the disk is damaged: its checksum is wrong")
    found = [GPT_ENTRY.unpack_from(entries, number * width) for number in range(count)]
    spans = [Span(first, last) for kind, _, first, last in found if any(kind)]
    if any(span.first < first_usable or span.last > last_usable for span in spans):
        raise ImageRefused("the partition table (GPT) of the disk is damaged: a partition lies outside of its bounds")
    return spans


def _check_spans(spans: list[Span], source: Source) -> None:
    if not spans:
        raise ImageRefused("the disk has no partition")
    ordered = sorted(spans, key=lambda span: span.first)
    if any(span.first == 0 or span.last < span.first for span in ordered) or any(
        after.first <= before.last for before, after in pairwise(ordered)
    ):
        raise ImageRefused("the partition table of the disk is damaged: its partitions overlap")
    end = (ordered[-1].last + 1) * SECTOR
    if end > source.size:
        raise ImageRefused(
            f"the disk is cut off: its last partition would end at byte {end}, the file at {source.size}"
        )
