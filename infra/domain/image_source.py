"""The bytes of an image that is looked at, and the two ways of reading them that cannot run over.

Everything that an image says of itself is a claim. Whoever follows one reads through `exactly` or `numbers`, so that a
table that reaches over the end is a refusal, not a short read; and lays each claimed cluster on a `Balance`, so that
no file names more data than it can hold.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from typing import Literal, Protocol

from infra.domain.errors import ImageRefused

SECTOR = 512  # bytes
PIECE = 64 * 2**10  # bytes of a table that are in memory at a time; a multiple of every entry's size
TABLE_ENTRIES = 2**26  # that are looked at in one image: 4 TiB in clusters of 64 KiB, some seconds of work
DEFLATE_RATIO = 1032  # at best, by the format of deflate: 258 bytes for two bits
ZSTD_RATIO = 2**20  # a bound of ours; the format has none to speak of for a cluster


class Source(Protocol):
    """``size``: bytes. ``read`` gives what there is of ``length`` bytes from ``offset`` on, less at the end."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


def exactly(source: Source, offset: int, length: int, what: str) -> bytes:
    """Some bytes, all of them. ImageRefused: ``what`` reaches over the end of the file."""
    within(source, offset, length, what)
    content = source.read(offset, length)
    if len(content) != length:
        raise ImageRefused(f"the file is cut off: it ends within {what}")
    return content


def within(source: Source, offset: int, length: int, what: str) -> None:
    """ImageRefused: not all of it is in the file."""
    if offset + length > source.size:
        raise ImageRefused(
            f"the file is cut off or damaged: {what} would end at byte {offset + length}, the file at {source.size}"
        )


def numbers(
    source: Source, offset: int, count: int, width: Literal[4, 8], order: Literal["little", "big"], what: str
) -> Iterator[array[int]]:
    """A table of ``count`` numbers of ``width`` bytes, piece by piece."""
    end = offset + count * width
    within(source, offset, count * width, what)
    while offset < end:
        table = array("Q" if width == 8 else "I", exactly(source, offset, min(PIECE, end - offset), what))
        if order != sys.byteorder:
            table.byteswap()
        yield table
        offset += PIECE


class Balance:
    """What an image's tables claim: neither more entries than `TABLE_ENTRIES` nor more bytes than the file has."""

    def __init__(self, source: Source, slack: int) -> None:
        self._bytes_left = source.size + slack
        self._entries_left = TABLE_ENTRIES

    def claim(self, size: int) -> None:
        """``size`` bytes of the file for a cluster or a table."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise ImageRefused("the image is damaged: it names more data than the file can hold")

    def look_at(self, entries: int) -> None:
        self._entries_left -= entries
        if self._entries_left < 0:
            raise ImageRefused(
                "the image is cut into too many pieces; convert it with a larger cluster size, such as 64 KiB"
            )


def checked_size(virtual_size: int, limit: int) -> int:
    """The size of the disk inside, in bytes, when it can be a server's disk: whole sectors, and up to ``limit``."""
    if virtual_size == 0:
        raise ImageRefused("the disk in the image is empty: its size is 0")
    if virtual_size % SECTOR:
        raise ImageRefused(f"the size of the disk in the image, {virtual_size} bytes, is not a multiple of {SECTOR}")
    if virtual_size > limit:
        raise ImageRefused(f"the disk in the image has {virtual_size} bytes; at most {limit} are accepted")
    return virtual_size
