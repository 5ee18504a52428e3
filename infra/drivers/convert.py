"""An image that was identified becomes a raw disk: our own re-encoding of it, made where it can reach nothing else.

qemu-img is told the format that was found and never looks for one; it runs confined, with the image and the target as
its only files, so that an image that got past the inspection names files that are not there. A raw image needs no tool:
its blocks are copied, the zeros left out. What comes out is looked at once more, as the raw disk that it has to be.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from infra.domain.errors import ImageRefused, Unavailable
from infra.domain.image_header import Identified, identify
from infra.drivers.confined import Bounds, ConfinementFailed, run_confined
from infra.drivers.image_file import opened
from infra.drivers.protocols import Progress
from infra.drivers.threads import run

QEMU_IMG = Path("/usr/bin/qemu-img")
SOURCE, TARGET = "/source", "/target"  # as qemu-img sees them
MEMORY = 2**30  # bytes of address space; a conversion takes less than 200 MiB, threads that are never begun among it
SLOWEST = 4 * 2**20  # bytes of the disk a second, on a busy machine; a conversion below that is given up
BREATH = 1.0  # seconds between two words of progress
PIECE = 4 * 2**20  # bytes copied at a time
HOLE = bytes(64 * 2**10)  # a run of zeros that takes no room in the target
ROOM = 8 * 2**20  # bytes that a full disk has not got: more than what qemu-img writes at once
PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")


class ConversionFailed(Exception):
    """What qemu-img said, for the log."""


async def convert_to_raw(
    source: Path, identified: Identified, target: Path, progress: Progress, patience: float
) -> None:
    """Make ``target`` (replaced if it is there) the disk in ``source``, sparse. ``progress``: bytes of the disk so far.

    ``patience``: seconds without progress after which it is given up; the whole has that and what the slowest
    conversion takes. ImageRefused: the content is bad, or takes more work than such a disk can. Unavailable: it takes
    too long, which is the machine's doing, or this machine cannot confine. OSError: ENOSPC when the target's file
    system is full. Nothing is left of the target then, nor when cancelled.
    """
    work = _copied if identified.format == "raw" else _converted
    finished = False
    try:
        _make_empty(target)
        await work(source, identified, target, partial(_watch, target, progress, patience, identified.virtual_size))
        await run(None, partial(_check, target, identified))
        finished = True
    finally:
        if not finished:
            _remove(target)


Watch = Callable[[Awaitable[None], Callable[[], int]], Awaitable[None]]


async def _converted(source: Path, identified: Identified, target: Path, watch: Watch) -> None:
    size, done = identified.virtual_size, 0

    def heard(said: bytes) -> None:
        nonlocal done
        for percent in PERCENT.findall(said):
            done = max(done, int(size * float(percent) / 100))

    async def convert() -> None:
        image = {"driver": identified.format, "backing": None, "file": {"driver": "file", "filename": SOURCE}}
        ended = await run_confined(
            QEMU_IMG,
            *("convert", "-p", "-S", str(len(HOLE)), "-O", "raw", f"json:{json.dumps(image)}", TARGET),
            bounds=Bounds(memory=MEMORY, cpu=60 + size // SLOWEST, file_size=size),
            readable={SOURCE: source},
            writable={TARGET: target},
            heard=heard,
        )
        if ended.status != 0:
            _refuse_full_disk(target)
            raise ImageRefused("the image is damaged: it could not be read to its end") from ConversionFailed(
                f"qemu-img ended with {ended.status}: {ended.words}"
            )

    try:
        await watch(convert(), lambda: max(done, min(size, _allocated(target))))
    except ConfinementFailed as error:
        raise Unavailable("images cannot be converted at the moment") from error


async def _copied(source: Path, identified: Identified, target: Path, watch: Watch) -> None:
    done, stopped = 0, threading.Event()

    def copy() -> None:
        nonlocal done
        with opened(source) as original, target.open("r+b") as copied:
            while not stopped.is_set() and (piece := original.read(done, PIECE)):
                for start in range(0, len(piece), len(HOLE)):
                    block = piece[start : start + len(HOLE)]
                    if block != HOLE[: len(block)]:
                        copied.seek(done + start)
                        copied.write(block)
                done += len(piece)
            copied.truncate(done)

    async def copy_until_stopped() -> None:
        working = asyncio.ensure_future(run(None, copy))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            stopped.set()
            with suppress(OSError):
                await working
            raise

    await watch(copy_until_stopped(), lambda: done)


async def _watch(
    target: Path, progress: Progress, patience: float, size: int, work: Awaitable[None], done: Callable[[], int]
) -> None:
    """See ``work`` to its end, or end it when it does not go on."""
    clock = asyncio.get_running_loop().time
    began = moved = clock()
    seen = 0
    working = asyncio.ensure_future(work)
    try:
        while not working.done():
            await asyncio.wait([working], timeout=BREATH)
            if (now := done()) > seen:
                seen, moved = now, clock()
            progress(seen)
            if clock() - moved > patience or clock() - began > patience + size / SLOWEST:
                raise Unavailable("the image takes too long to convert at the moment")
    finally:
        working.cancel()
        await asyncio.wait([working])
    await working


def _make_empty(target: Path) -> None:
    _remove(target)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _remove(target: Path) -> None:
    target.unlink(missing_ok=True)


def _allocated(target: Path) -> int:
    return target.stat().st_blocks * 512


def _refuse_full_disk(target: Path) -> None:
    """OSError, if there is no room: the tool's own words are not to be relied on."""
    with target.open("r+b") as file:
        os.posix_fallocate(file.fileno(), target.stat().st_size, ROOM)


def _check(target: Path, identified: Identified) -> None:
    with opened(target) as disk:
        if disk.size != identified.virtual_size:
            raise ImageRefused(
                f"the image is damaged: its disk has {disk.size} bytes, and {identified.virtual_size} were told"
            )
        if identified.format != "raw":
            try:
                identify(disk, identified.virtual_size, claimed="raw")
            except ImageRefused as refused:
                raise ImageRefused(f"the disk in the {identified.format} image is not accepted: {refused}") from refused
