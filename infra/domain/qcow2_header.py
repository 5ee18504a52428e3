"""A qcow2 image looked at: its header, its extensions and its tables; whole, alone, and of known features only.

Source: QEMU's docs/interop/qcow2.txt; the bounds are those of its block/qcow2.c. The tables are followed to the last
entry, since reading a cluster that lies past the end gives zeros and no error: a cut-off file would become a hole.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from infra.domain.errors import ImageRefused
from infra.domain.image_source import (
    DEFLATE_RATIO,
    ZSTD_RATIO,
    Balance,
    Source,
    checked_size,
    exactly,
    numbers,
    within,
)

MAGIC = b"QFI\xfb"
V2 = struct.Struct(">4sIQIIQIIQQIIQ")
V3 = struct.Struct(">QQQII")
V2_LENGTH, V3_LENGTHS = 72, (104, 112)  # bytes; the longer one has the compression type
CLUSTER_BITS = range(9, 22)
L1_LIMIT, REFCOUNT_LIMIT = 32 * 2**20, 8 * 2**20  # bytes of the two tables
REFCOUNT_ORDERS = range(7)

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = (1 << bit for bit in range(5))
RAW_DATA_FILE = 2  # autoclear
END, BACKING_FORMAT, DATA_FILE_NAME, ENCRYPTION = 0, 0xE2792ACA, 0x44415441, 0x0537BE77
FEATURE_NAMES, BITMAPS = 0x6803F857, 0x23852875

OFFSET = 0x00FF_FFFF_FFFF_FE00
COMPRESSED = 1 << 62
L1_RESERVED = 0x7F00_0000_0000_01FF

BACKED = "the image is only the difference to a backing file; merge the two (`qemu-img convert`) and bring the result"
SPLIT = "the image keeps its data in another file; bring an image that holds its data itself (`qemu-img convert`)"
ENCRYPTED = "the image is encrypted; bring it decrypted"


@dataclass(frozen=True, slots=True)
class Header:
    version: int
    cluster_bits: int
    virtual_size: int  # bytes
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    incompatible: int = 0
    compression: int = 0
    length: int = V2_LENGTH

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits

    @property
    def entry(self) -> int:
        """Bytes of an entry of an L2 table."""
        return 16 if self.incompatible & EXTENDED_L2 else 8


def inspect_qcow2(source: Source, limit: int) -> tuple[str, int]:
    """Its version and the size in bytes of the disk inside. ImageRefused: it is not accepted."""
    header = _header(source)
    _refuse_extensions(source, header)
    checked_size(header.virtual_size, limit)
    _check_tables(source, header)
    _follow(source, header)
    return f"v{header.version}", header.virtual_size


def _header(source: Source) -> Header:
    fields = V2.unpack(exactly(source, 0, V2.size, "the header"))
    _, version, backing, backing_length, cluster_bits, size, encryption, l1_size, l1, refcount, clusters = fields[:11]
    if version not in (2, 3):
        raise ImageRefused(f"qcow2 of version {version} is not accepted, only of versions 2 and 3")
    if backing or backing_length:
        raise ImageRefused(BACKED)
    if encryption:
        raise ImageRefused(ENCRYPTED)
    if fields[11]:
        raise ImageRefused(
            "the image holds internal snapshots; delete them (`qemu-img snapshot -d`) and bring it again"
        )
    if cluster_bits not in CLUSTER_BITS:
        raise ImageRefused(f"the image is damaged: clusters of 2^{cluster_bits} bytes do not exist")
    header = Header(version, cluster_bits, size, l1_size, l1, refcount, clusters)
    return header if version == 2 else _third(source, header)


def _third(source: Source, v2: Header) -> Header:
    incompatible, _, autoclear, order, length = V3.unpack(exactly(source, V2.size, V3.size, "the header"))
    _refuse_features(incompatible)
    if autoclear & RAW_DATA_FILE:
        raise ImageRefused(SPLIT)
    if length not in V3_LENGTHS or length > v2.cluster:
        raise ImageRefused(f"the image is damaged or of a kind that is not known: its header has {length} bytes")
    if order not in REFCOUNT_ORDERS:
        raise ImageRefused(f"the image is damaged: reference counts of 2^{order} bits do not exist")
    compression = exactly(source, V3_LENGTHS[0], 1, "the header")[0] if length > V3_LENGTHS[0] else 0
    if compression != bool(incompatible & COMPRESSION):  # 0 is zlib, 1 is zstd and marked as a feature
        raise ImageRefused(f"the image is compressed in a way that is not known ({compression})")
    return Header(
        v2.version,
        v2.cluster_bits,
        v2.virtual_size,
        v2.l1_entries,
        v2.l1_offset,
        v2.refcount_offset,
        v2.refcount_clusters,
        incompatible,
        compression,
        length,
    )


def _refuse_features(incompatible: int) -> None:
    if incompatible & DATA_FILE:
        raise ImageRefused(SPLIT)
    if incompatible & CORRUPT:
        raise ImageRefused("the image is marked as corrupt; repair it (`qemu-img check -r all`) and bring it again")
    if incompatible & DIRTY:
        raise ImageRefused(
            "the image was not closed when it was last written to; repair it (`qemu-img check -r all`) and bring it "
            "again"
        )
    unknown = incompatible & ~(COMPRESSION | EXTENDED_L2)
    if unknown:
        raise ImageRefused(f"the image needs features that are not known (bits {unknown:#x})")


def _refuse_extensions(source: Source, header: Header) -> None:
    """Each kind stands at most once, so that there are few."""
    at, seen = header.length, set[int]()
    while at + 8 <= header.cluster:
        kind, length = struct.unpack(">II", exactly(source, at, 8, "the header's extensions"))
        if kind == END:
            return
        if kind in (DATA_FILE_NAME, BACKING_FORMAT, ENCRYPTION):
            raise ImageRefused({DATA_FILE_NAME: SPLIT, BACKING_FORMAT: BACKED, ENCRYPTION: ENCRYPTED}[kind])
        if kind not in (FEATURE_NAMES, BITMAPS) or kind in seen:
            raise ImageRefused(f"the image is damaged or of a kind that is not known (header extension {kind:#x})")
        seen.add(kind)
        at += 8 + (length + 7) // 8 * 8
    if at > header.cluster:
        raise ImageRefused("the image is damaged: an extension of its header is longer than the header's cluster")


def _check_tables(source: Source, header: Header) -> None:
    cluster, covered = header.cluster, header.cluster * (header.cluster // header.entry)
    if header.l1_entries * 8 > L1_LIMIT or header.refcount_clusters * cluster > REFCOUNT_LIMIT:
        raise ImageRefused("the image is damaged: its tables are larger than any disk needs")
    if header.l1_entries * covered < header.virtual_size:
        raise ImageRefused("the image is damaged: its L1 table is too short for the size of its disk")
    if header.refcount_clusters == 0:
        raise ImageRefused("the image is damaged: it has no table of reference counts")
    for offset, length, what in (
        (header.l1_offset, header.l1_entries * 8, "the L1 table"),
        (header.refcount_offset, header.refcount_clusters * cluster, "the table of reference counts"),
    ):
        if offset < cluster or offset % cluster:
            raise ImageRefused(f"the image is damaged: {what} lies at byte {offset}, where it cannot be")
        within(source, offset, length, what)


def _follow(source: Source, header: Header) -> None:
    """Every cluster that the tables name is in the file, and all of them have room in it."""
    per_table = header.cluster // header.entry
    clusters = -(-header.virtual_size // header.cluster)
    # Without subclusters a cluster is written as a whole: a file that ends within one was cut off.
    short = header.cluster - 1 if header.incompatible & EXTENDED_L2 else 0
    balance = Balance(source, short)
    for table in _l2_tables(source, header, -(-clusters // per_table)):
        balance.claim(header.cluster)
        balance.look_at(per_table)
        for entries in numbers(source, table, header.cluster // 8, 8, "big", "an L2 table"):
            _check_entries(entries[::2] if header.entry == 16 else entries, header, source.size + short, balance)


def _l2_tables(source: Source, header: Header, count: int) -> Iterator[int]:
    for entries in numbers(source, header.l1_offset, count, 8, "big", "the L1 table"):
        for entry in filter(None, entries):
            offset = entry & OFFSET
            if entry & L1_RESERVED or offset % header.cluster:
                raise ImageRefused("the image is damaged: its L1 table holds what is no place of a table")
            if offset:
                yield offset


def _check_entries(entries: array[int], header: Header, size: int, balance: Balance) -> None:
    cluster, shift = header.cluster, 62 - (header.cluster_bits - 8)
    place, sectors = (1 << shift) - 1, (1 << (header.cluster_bits - 8)) - 1
    compressed = 1 + cluster // (ZSTD_RATIO if header.compression else DEFLATE_RATIO)  # bytes: many may share a sector
    for entry in filter(None, entries):
        if entry & COMPRESSED:
            start, needed = entry & place, compressed
            end = (start & ~511) + (entry >> shift & sectors) * 512 + 1  # the last sector may be short
        else:
            start = entry & OFFSET
            end, needed = (start + cluster, cluster) if start else (0, 0)
            if start % cluster:
                raise ImageRefused("the image is damaged: its L2 table holds what is no place of a cluster")
        if end > size:
            raise ImageRefused(f"the file is cut off: its data goes on at byte {start}, the file ends at {size}")
        balance.claim(needed)
