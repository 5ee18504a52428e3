"""An image as one stream and back: a tar of its disk, its holes left out, and of the kernel that it may bring.

The same files give the same bytes, always: members in a fixed order, holes found by content. So the sha256 of the
stream is the image's name, and covers the kernel too. It is written and read in one pass, by `tar` as well as by us.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from infra.drivers.store.errors import ImageDamaged
from infra.drivers.store.tar_headers import (
    BLOCK,
    END,
    EXTENDED,
    header,
    name_and_size,
    parsed,
    sparse_map,
    sparse_member,
)

DISK = "disk.raw"
FILES = (DISK, "vmlinux", "initrd", "cmdline")
GRAIN = 64 * 2**10  # bytes: a run of zeros that long, aligned, is a hole
ZEROS = bytes(GRAIN)
EARLY = 8 * 2**20  # bytes
CHUNK = 2**20  # bytes read at a time
LONGEST_MAP = 64 * 2**20  # bytes: of a disk of 100 TiB with every second grain a hole
LONGEST_RECORDS = 4096  # bytes

Progress = Callable[[int], None]
Runs = list[tuple[int, int]]
T = TypeVar("T")


class Stream(Protocol):
    """What is unpacked: ``read`` gives up to ``size`` bytes, fewer at will, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class Sink(Protocol):
    """Where an image is packed to: takes all that it is given."""

    def write(self, content: bytes, /) -> int: ...


def pack(directory: Path, out: Sink, progress: Progress) -> None:
    """Write what of FILES is in ``directory``. Blocking. ``progress``: bytes written. OSError: of either side."""
    sink = _Counted(out, progress)
    with (directory / DISK).open("rb", buffering=0) as disk:
        size = os.fstat(disk.fileno()).st_size
        runs = data_runs(disk.fileno(), size, sink.breathe)
        layout = sparse_map(runs, size)
        sink.write(sparse_member(DISK, size, len(layout) + sum(length for _, length in runs)) + layout)
        for offset, length in runs:
            sink.copy(disk.fileno(), offset, length)
        sink.pad()
    for name in FILES[1:]:
        if (directory / name).exists():
            with (directory / name).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                sink.write(header(name, size))
                sink.copy(file.fileno(), 0, size)
                sink.pad()
    sink.write(END)


def data_runs(disk: int, size: int, breathe: Callable[[], None] = lambda: None) -> Runs:
    """Where a file has anything but grains of zeros: (offset, length) each."""
    runs: Runs = []
    for begin, end in _allocated(disk, size):
        for at in range(begin - begin % GRAIN, end, GRAIN):
            breathe()
            block = os.pread(disk, min(GRAIN, size - at), at)
            if block == ZEROS or block == ZEROS[: len(block)] or (runs and sum(runs[-1]) > at):
                continue
            if runs and sum(runs[-1]) == at:
                runs[-1] = (runs[-1][0], runs[-1][1] + len(block))
            else:
                runs.append((at, len(block)))
    return runs


def _allocated(disk: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            begin = os.lseek(disk, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            raise
        end = os.lseek(disk, begin, os.SEEK_HOLE)
        yield begin, end


class _Counted:
    """``out``, with what was written to it counted."""

    def __init__(self, out: Sink, progress: Progress) -> None:
        self._out = out
        self._progress = progress
        self._at = 0

    def breathe(self) -> None:
        self._progress(self._at)

    def write(self, content: bytes) -> None:
        self._out.write(content)
        self._at += len(content)
        self._progress(self._at)

    def copy(self, source: int, offset: int, length: int) -> None:
        end = offset + length
        while offset < end:
            chunk = os.pread(source, min(CHUNK, end - offset), offset)
            if not chunk:
                raise OSError(errno.EIO, "a file became shorter while it was read")
            self.write(chunk)
            offset += len(chunk)

    def pad(self) -> None:
        self.write(bytes(-self._at % BLOCK))


def unpack(stream: Stream, into: Path, progress: Progress) -> None:
    """Write the files of an image into the directory ``into``, its holes kept; nothing is synced. Blocking.

    ``progress``: bytes read. Nothing but FILES is ever made, and nothing that is there is replaced. ImageDamaged: it is
    no image as we write it. OSError: of the directory, or what ``stream`` raises.
    """
    source = _Source(stream, progress)
    place = os.open(into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _unpack_disk(source, place)
        ahead = list(FILES[1:])
        while (block := source.exactly(BLOCK)) != END[:BLOCK]:
            name, size = _understood(name_and_size, block)
            if name not in ahead:
                raise ImageDamaged(f"it has a file {name!r} where none is expected")
            ahead = ahead[ahead.index(name) + 1 :]
            with _new_file(place, name) as file:
                source.copy(file, 0, size)
            source.pad(size)
        if source.exactly(BLOCK) != END[:BLOCK] or stream.read(1):
            raise ImageDamaged("it does not end where it says")
    finally:
        os.close(place)


def _unpack_disk(source: _Source, place: int) -> None:
    name, length = _understood(_records_ahead, first := source.exactly(BLOCK))
    if name != f"PaxHeaders/{DISK}" or length > LONGEST_RECORDS:
        raise ImageDamaged("it does not begin with a disk")
    said = source.exactly(length)
    head = first + said + source.pad(length) + source.exactly(BLOCK)
    size, stored = _understood(_sizes, head)
    if head != sparse_member(DISK, size, stored):
        raise ImageDamaged("the disk's header is not as we write it")
    runs = _read_map(source, size, stored)
    with _new_file(place, DISK) as file:
        _of_that_size(file, size)
        for offset, run in runs:
            source.copy(file, offset, run)
    source.pad(stored)


def _records_ahead(block: bytes) -> tuple[str, int]:
    return name_and_size(block, EXTENDED)


def _sizes(head: bytes) -> tuple[int, int]:
    """Of the headers of a disk: its bytes, and how many of them are stored."""
    told = parsed(head[BLOCK : BLOCK + _records_ahead(head[:BLOCK])[1]])
    stored = int(told["size"]) if "size" in told else name_and_size(head[-BLOCK:])[1]
    return int(told["GNU.sparse.realsize"]), stored


def _read_map(source: _Source, size: int, stored: int) -> Runs:
    """The runs of data, which are within ``size`` and in order, and as long together as what is ``stored`` of them."""
    content = bytearray(source.exactly(BLOCK))
    lines, expected = content.count(b"\n"), 1 + 2 * _understood(_count_of_runs, bytes(content))
    while lines < expected:
        if len(content) > min(LONGEST_MAP, stored):
            raise ImageDamaged("the disk's map has no end")
        content += (block := source.exactly(BLOCK))
        lines += block.count(b"\n")
    runs = _understood(_runs_of, bytes(content))
    if sparse_map([run for run in runs if run[1]], size) != content:
        raise ImageDamaged("the disk's map is not as we write it")
    ends = [0, *(sum(run) for run in runs)]
    ordered = all(run[0] >= end and run[1] >= 0 for run, end in zip(runs, ends, strict=False))
    if not ordered or ends[-1] > size or len(content) + sum(run[1] for run in runs) != stored:
        raise ImageDamaged("the disk's map does not fit the disk")
    return runs


def _count_of_runs(text: bytes) -> int:
    return int(text[: text.index(b"\n")])


def _runs_of(text: bytes) -> Runs:
    numbers = [int(line) for line in text.rstrip(b"\0").split()]
    return list(zip(numbers[1::2], numbers[2::2], strict=False))


def _of_that_size(file: int, size: int) -> None:
    try:
        os.ftruncate(file, size)
    except (OSError, OverflowError) as error:
        if isinstance(error, OverflowError) or error.errno in (errno.EFBIG, errno.EINVAL):
            raise ImageDamaged(f"its disk would have {size} bytes") from error
        raise


@contextmanager
def _new_file(place: int, name: str) -> Iterator[int]:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=place)
    try:
        os.fchmod(file, 0o644)
        yield file
    finally:
        os.close(file)


class _Source:
    """A stream, with what was read of it counted. ImageDamaged: it ends too early."""

    def __init__(self, stream: Stream, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress
        self._at = 0
        self._since = 0
        self._copied = 0

    def some(self, most: int) -> bytes:
        if not (chunk := self._stream.read(min(most, CHUNK))):
            raise ImageDamaged("it ends too early")
        self._at += len(chunk)
        self._progress(self._at)
        return chunk

    def exactly(self, length: int) -> bytes:
        content = b""
        while len(content) < length:
            content += self.some(length - len(content))
        return content

    def copy(self, file: int, offset: int, length: int) -> None:
        end, self._since = offset + length, min(self._since, offset)
        while offset < end:
            chunk = memoryview(self.some(end - offset))
            while chunk:
                written = os.pwrite(file, chunk, offset)
                chunk, offset = chunk[written:], offset + written
                self._copied += written
            if self._copied >= EARLY:
                # The kernel begins to write it now, and the sync at the end finds little left to do.
                os.posix_fadvise(file, self._since, offset - self._since, os.POSIX_FADV_DONTNEED)
                self._since, self._copied = offset, 0

    def pad(self, size: int) -> bytes:
        if (padding := self.exactly(-size % BLOCK)).strip(b"\0"):
            raise ImageDamaged("there is something between its files")
        return padding


def _understood(read: Callable[[bytes], T], text: bytes) -> T:
    try:
        return read(text)
    except (ValueError, KeyError, OverflowError) as error:
        raise ImageDamaged("it is not an image of ours") from error
