"""Each point of the contract in README.md, tried out on the mount. Runs in the child.

A probe answers with what it saw, or raises StoreUnfit with what the mount did wrong. What it writes is called
``.tmp-``, so that what a killed one leaves is swept.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

from infra.drivers.durable import sync
from infra.drivers.store.errors import ImageMissing, StoreFull, StoreUnfit, on_the_mount
from infra.drivers.store.mounts import mount_of
from infra.drivers.store.pack import Progress
from infra.drivers.store.probe_files import (
    created,
    described,
    digest,
    expect,
    in_time,
    look,
    names,
    opened,
    rest,
    wait_for,
    wait_until_seen,
    write,
)
from infra.drivers.store.stored_files import SUFFIX, TMP, images, marker, verify
from infra.drivers.store.streams import write_all

MIB = 2**20
WRITTEN = 64  # MiB
REPLACED = 4  # MiB
FAR = 5 * 2**30  # bytes
LONGEST_NAME = 250  # bytes
READERS = 16
LOOKS = 100
SLOWEST_LOOK = 1.0  # seconds
MOST = 1024  # MiB that a store which should be full may take
ROUNDS = 10
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def mounted(store: Path, progress: Progress, kinds: list[str], owner: str | None) -> str:
    """It is there and marked, and of a file system that the engine mounts (``kinds``; none: any)."""
    if not store.is_dir():
        raise StoreUnfit(f"there is no directory {store}")
    kind, point = mount_of(store)
    if kinds and kind not in kinds:
        raise StoreUnfit(f"it is on {kind}, mounted at {point}: the engine's own mount is missing")
    found = marker(store)
    if found is None:
        raise StoreUnfit("there is no marker: it is not mounted, or `puchify store init` was never run")
    if owner is not None and found != owner:
        raise StoreUnfit(f"its marker says {found}, and not {owner}")
    return f"{kind} at {point}, marked {found}"


def write_and_read(store: Path, progress: Progress) -> str:
    """Written, synced, renamed, dropped from the cache and read again: it is the same."""
    chunks = [os.urandom(MIB) for _ in range(8)]
    wanted = hashlib.sha256()
    with names(store, 2) as (tmp, final):
        begun = time.monotonic()
        with created(tmp) as file:
            for number in range(WRITTEN):
                chunk = chunks[number % len(chunks)]
                wanted.update(chunk)
                write_all(file, chunk)
                progress(number * MIB)
            os.fsync(file)
        tmp.rename(final)
        sync(store)
        written = time.monotonic()
        if digest(final) != wanted.hexdigest():
            raise StoreUnfit("what was synced and renamed reads back differently")
        speeds = WRITTEN / (written - begun), WRITTEN / (time.monotonic() - written)
    return f"{WRITTEN} MiB: written at {speeds[0]:.0f} MiB/s, read at {speeds[1]:.0f} MiB/s"


def refuse_writes(store: Path, progress: Progress) -> str:
    """On a host that mounts it read-only."""
    with names(store, 1) as (tmp,):
        try:
            os.close(os.open(tmp, os.O_WRONLY | os.O_CREAT, 0o644))
        except OSError as error:
            if error.errno in READ_ONLY:
                return f"refused: {error.strerror}"
            raise
    raise StoreUnfit("it can be written to here")


def read_an_image(store: Path, progress: Progress) -> str:
    """The smallest one, in full."""
    found = images(store)
    if not found:
        raise ImageMissing("there is none yet")
    chosen, (size, _) = min(found.items(), key=lambda image: image[1][0])
    if not verify(store, chosen, 0, progress):
        raise StoreUnfit(f"{chosen}{SUFFIX} is not what its name says")
    return f"{chosen[:12]}, {size / MIB:.1f} MiB, is right"


GONE = (errno.ESTALE, errno.ENOENT)
"""What another mount may answer of a file that was replaced; GlusterFS opens one only when it is first read."""


def replace_under_a_reader(store: Path, progress: Progress, second: str | None) -> str:
    """Who has the old file open reads it to its end, who opens it then reads the new one: never a mix."""
    reading = Path(second) if second else store
    contents, stale = [bytes([number + 1]) * (REPLACED * MIB) for number in range(ROUNDS)], 0
    with names(store, 2) as (tmp, final):
        write(tmp, contents[0])
        tmp.rename(final)
        for old, new in pairwise(contents):
            wait_until_seen(reading / final.name, len(old))
            with opened(reading / final.name) as reader:
                begin = _begin(reader, second is not None)
                write(tmp, new)
                tmp.rename(final)
                progress(0)
                stale += begin is None or _read_on(reader, begin, len(old), second is not None)
            expect(final, new, "who opened the file after it was replaced")
        if second:
            wait_for(reading / final.name, contents[-1], progress)
    where = f"on the second mount, where {stale} had to open it again" if second else "here"
    return f"{ROUNDS - 1} times, read {where}"


def _begin(reader: int, may_be_stale: bool) -> bytes | None:
    """None: what was opened was the file before, and the mount wants it to be opened again."""
    try:
        return os.read(reader, MIB)
    except OSError as error:
        if may_be_stale and error.errno in GONE:
            return None
        raise


def _read_on(reader: int, begin: bytes, size: int, may_be_stale: bool) -> bool:
    """To the end, of a file that was replaced; True: the mount wants it to be opened again."""
    try:
        content = begin + rest(reader)
    except OSError as error:
        if may_be_stale and error.errno in GONE:
            return True
        raise
    if content != begin[:1] * size:
        raise StoreUnfit(f"a reader of a file that was replaced got {described(content)}")
    return False


def visible_elsewhere(store: Path, progress: Progress, second: str) -> str:
    """A name that the other mount has just looked for in vain is there in time, whole at the first open, and listed."""
    other, slowest = Path(second), 0.0
    for _ in range(ROUNDS):
        content = os.urandom(MIB)
        with names(store, 2) as (tmp, final):
            with suppress(FileNotFoundError):
                os.stat(other / final.name)
            progress(0)  # each step may wait until the other mount has let go of what it knew
            write(tmp, content)
            tmp.rename(final)
            sync(store)
            progress(0)
            begun = time.monotonic()
            wait_for(other / final.name, content, progress)
            slowest = max(slowest, time.monotonic() - begun)
            while final.name not in os.listdir(other):
                in_time(begun, "it is not listed")
                progress(0)
                time.sleep(0.01)
    return f"{ROUNDS} times, the latest after {slowest * 1000:.0f} ms"


def fill(store: Path, progress: Progress, tiny: str) -> str:
    """A small directory of the store's kind: that it is full is said, and nothing is acknowledged that was not kept."""
    with names(Path(tiny), 1) as (tmp,):
        try:
            with created(tmp) as file:
                for written in range(MOST):
                    write_all(file, os.urandom(MIB))
                    with on_the_mount("syncing"):
                        os.fsync(file)
                    progress(written)
        except StoreFull as error:
            return f"after {written} MiB: {error}"
        except OSError as error:  # on closing
            return f"after {written} MiB: {error.strerror}"
    raise StoreUnfit(f"it took {MOST} MiB")


def long_names_and_far_offsets(store: Path, progress: Progress) -> str:
    long = (f"{TMP}{uuid4().hex}-" + "n" * LONGEST_NAME)[:LONGEST_NAME]
    try:
        with created(store / long) as file:
            os.pwrite(file, b"far", FAR)
            os.fsync(file)
        with opened(store / long) as file:
            os.lseek(file, FAR - 3, os.SEEK_SET)
            if rest(file) != b"\0\0\0far":
                raise StoreUnfit(f"what was written {FAR >> 30} GiB into a file reads back differently")
    finally:
        with suppress(OSError):
            (store / long).unlink()
    return f"a name of {LONGEST_NAME} bytes, an offset of {FAR >> 30} GiB"


def many_readers(store: Path, progress: Progress) -> str:
    content = os.urandom(MIB) * 16
    with names(store, 1) as (tmp,):
        write(tmp, content)
        with ThreadPoolExecutor(READERS) as readers:
            wanted = hashlib.sha256(content).hexdigest()
            if any(found != wanted for found in readers.map(digest, [tmp] * READERS)):
                raise StoreUnfit(f"one of {READERS} that read the same file at once got something else")
        took = sorted(look(tmp) for _ in range(LOOKS))
    if took[-2] > SLOWEST_LOOK:
        raise StoreUnfit(f"opening a file takes {took[-2]:.1f} s")
    return (
        f"{READERS} at once; a look takes {took[len(took) // 2] * 1000:.1f} ms, the 99th of 100 {took[-2] * 1000:.1f}"
    )


def features(store: Path, progress: Progress) -> str:
    """What the mount can that is not relied upon."""
    with names(store, 1) as (tmp,):
        with created(tmp) as file:
            os.pwrite(file, b"x", 8 * MIB)
            os.fsync(file)
        found = {name: _does(tmp, feature) for name, feature in FEATURES.items()}
    return ", ".join(f"{name} {'yes' if can else 'no'}" for name, can in found.items())


def _does(path: Path, feature: Callable[[Path, int], bool]) -> bool:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return feature(path, file)
    except OSError:
        return False
    finally:
        os.close(file)


def _has_xattr(path: Path, file: int) -> bool:
    os.setxattr(file, "user.puchify", b"1")
    return os.getxattr(file, "user.puchify") == b"1"


def _has_direct(path: Path, file: int) -> bool:
    os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    return True


def _has_flock(path: Path, file: int) -> bool:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


FEATURES: dict[str, Callable[[Path, int], bool]] = {
    "holes seen": lambda path, file: os.lseek(file, 0, os.SEEK_DATA) > 0,
    "O_DIRECT": _has_direct,
    "xattr": _has_xattr,
    "flock": _has_flock,
}


def write_once(store: Path, progress: Progress) -> str:
    """Whether a write is acknowledged: where the quorum is lost none must be."""
    with names(store, 2) as (tmp, final), on_the_mount("writing"):
        write(tmp, os.urandom(MIB))
        tmp.rename(final)
        sync(store)
    return "acknowledged"


PROBES: dict[str, Callable[..., str]] = {
    probe.__name__: probe
    for probe in (
        *(mounted, write_and_read, refuse_writes, read_an_image, replace_under_a_reader, visible_elsewhere),
        *(fill, long_names_and_far_offsets, many_readers, features, write_once),
    )
}
