"""What is done with the images on the mount, as blocking functions. Runs in the child: any of them may hang for ever.

An image is ``images/<sha256 of the file>.tar``. It gets its name by rename, when every byte is on the disks, and counts
only when it was read back right under that name. Names of files that are still written begin with ``.tmp-``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TypeVar
from uuid import uuid4

from infra.drivers.durable import sync
from infra.drivers.store.errors import ImageDamaged, ImageMissing, StaleFile, StoreAway, on_the_mount
from infra.drivers.store.pack import DISK, Progress, pack, unpack
from infra.drivers.store.streams import CHUNK, HashedReader, HashedWriter

IMAGES = "images"
SUFFIX = ".tar"
MARKER = ".store-id"
TMP = ".tmp-"
TRIES = 2  # of a write that reads back wrong, and of a read whose file was replaced under it
WRITE_BACK_EVERY = 0.1  # seconds
BREATH = 0.25  # seconds between two looks for a name that another host may just have made

T = TypeVar("T")


def publish(store: Path, directory: Path, settle: float, progress: Progress) -> tuple[str, int]:
    """The digest and the size of the stored file. A good copy that is there already stays, a bad one is replaced."""
    images = ensured(store / IMAGES)
    for _ in range(TRIES):
        with _unfinished(images) as tmp:
            digest, size = _written(tmp, directory, progress)
            final = images / f"{digest}{SUFFIX}"
            if _is_right(final, digest, progress) and _is_young_again(final):
                return digest, size
            with on_the_mount("publishing"):
                tmp.rename(final)
                sync(images)
        if verify(store, digest, settle, progress):
            return digest, size
    raise StoreAway(f"what was written as {digest} reads back differently")


def _written(tmp: Path, directory: Path, progress: Progress) -> tuple[str, int]:
    with closing_file(open_file(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL)) as file:
        writer = HashedWriter(file)
        pack(directory, writer, progress)
        digest = writer.finish()
        with on_the_mount("looking at what was written"):
            return digest, os.fstat(file).st_size


def _is_right(path: Path, digest: str, progress: Progress) -> bool:
    try:
        return _hash_of(path, progress) == digest
    except ImageMissing:
        return False


def _is_young_again(path: Path) -> bool:
    """A copy that lay unused for long is used from now on, and `remove` sees that. False: it was swept meanwhile."""
    try:
        with on_the_mount("publishing"):
            os.utime(path)
    except ImageMissing:
        return False
    return True


def fetch(store: Path, digest: str, into: Path, settle: float, progress: Progress) -> None:
    """Unpack an image into the empty local directory ``into``, and sync it. OSError: of the local directory."""
    path = store / IMAGES / f"{digest}{SUFFIX}"
    patiently(lambda: _expect(digest, _unpacked(path, into, progress)), settle)
    for name in (*os.listdir(into), "."):
        sync(into / name)


def _unpacked(path: Path, into: Path, progress: Progress) -> str:
    for name in os.listdir(into):  # of a try before this one
        (into / name).unlink()
    with closing_file(open_file(path, os.O_RDONLY)) as file:
        reader = HashedReader(file)
        with _written_back(into / DISK):
            unpack(reader, into, progress)
        return reader.digest()


@contextmanager
def _written_back(path: Path) -> Iterator[None]:
    """What is there of the local file goes to the disk while more of it comes, so that little is left to sync."""
    over = Event()

    def write_back() -> None:
        while not over.wait(WRITE_BACK_EVERY):
            with suppress(FileNotFoundError):
                sync(path)

    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write_back)
        try:
            yield
        finally:
            over.set()
        writing.result()  # an error is told to one who syncs, and to nobody after


def verify(store: Path, digest: str, settle: float, progress: Progress) -> bool:
    """Whether the stored file is what its name says. ImageMissing: there is none."""
    path = store / IMAGES / f"{digest}{SUFFIX}"
    try:
        patiently(lambda: _expect(digest, _hash_of(path, progress)), settle)
    except ImageDamaged:
        return False
    return True


def _expect(digest: str, found: str) -> None:
    if found != digest:
        raise ImageDamaged(f"the stored image {digest} has the sha256 {found}")


def _hash_of(path: Path, progress: Progress) -> str:
    """Of what the disks have, as far as the cache of this machine can be left out."""
    with closing_file(open_file(path, os.O_RDONLY)) as file:
        with suppress(OSError):  # a hint, which not every file system takes
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        reader, done = HashedReader(file), 0
        while chunk := reader.read(CHUNK):
            done += len(chunk)
            progress(done)
        return reader.digest()


def images(store: Path) -> dict[str, tuple[int, float]]:
    """By digest: bytes, and seconds since it was written."""
    with on_the_mount("listing the images"):
        return {
            entry.name.removesuffix(SUFFIX): (about.st_size, age(about.st_mtime))
            for entry in listed(store / IMAGES)
            if entry.name.endswith(SUFFIX) and (about := looked_at(entry)) is not None
        }


def remove(store: Path, digest: str, older_than: float) -> bool:
    """Whether it was there, and old enough. Somebody may publish it at this very moment: then it is put back."""
    path, tmp = store / IMAGES / f"{digest}{SUFFIX}", store / IMAGES / f"{TMP}{uuid4().hex}"
    with on_the_mount(f"removing {digest}"):
        try:
            if age(path.stat().st_mtime) < older_than:
                return False
            path.rename(tmp)
            if age(tmp.stat().st_mtime) < older_than:
                tmp.rename(path)
                return False
            tmp.unlink()
        except FileNotFoundError:
            return False
    return True


def sweep(store: Path, older_than: float) -> int:
    """Remove what killed writers left, once nobody has written to it for ``older_than`` seconds. How many."""
    gone = 0
    with on_the_mount("sweeping"):
        for entry in (*listed(store), *listed(store / IMAGES)):
            about = looked_at(entry) if entry.name.startswith(TMP) else None
            if about is not None and age(about.st_mtime) > older_than:
                Path(entry.path).unlink(missing_ok=True)
                gone += 1
    return gone


def marker(store: Path) -> str | None:
    """Whose the store is; None where nobody marked it, as in a directory on which it is not mounted."""
    try:
        with on_the_mount("reading the marker"):
            return (store / MARKER).read_text("ascii").strip()
    except ImageMissing:
        return None


def mark(store: Path, owner: str) -> None:
    """Say whose the store is; an older marker goes."""
    ensured(store)
    with _unfinished(store) as tmp, on_the_mount("marking the store"):
        tmp.write_text(f"{owner}\n", "ascii")
        sync(tmp)
        tmp.rename(store / MARKER)
        sync(store)


@contextmanager
def _unfinished(directory: Path) -> Iterator[Path]:
    """A name for a file that is not finished; what has it in the end is removed."""
    tmp = directory / f"{TMP}{uuid4().hex}"
    try:
        yield tmp
    finally:
        with suppress(OSError):
            tmp.unlink()


def open_file(path: Path, flags: int) -> int:
    with on_the_mount(f"opening {path.name}"):
        return os.open(path, flags | os.O_CLOEXEC, 0o644)


@contextmanager
def closing_file(file: int) -> Iterator[int]:
    """A file of the mount, closed in the end. StoreError: its last bytes could not be written."""
    try:
        yield file
    except BaseException:
        with suppress(OSError):
            os.close(file)
        raise
    with on_the_mount("closing"):
        os.close(file)


def patiently(read: Callable[[], T], settle: float) -> T:
    """``read``, tried again while the name is not seen here yet, and once more when its file was replaced under it.

    Once more as well when it is wrong: a mount that takes time to settle may show the size of the file before.
    """
    deadline, again = time.monotonic() + settle, TRIES
    while True:
        try:
            return read()
        except ImageMissing:
            if time.monotonic() + BREATH > deadline:
                raise
        except (StaleFile, ImageDamaged) as error:
            again -= 1
            if not again or (isinstance(error, ImageDamaged) and not settle):
                raise
        time.sleep(BREATH)


def ensured(directory: Path) -> Path:
    """Made if it is not there, with all above it, so that it stays."""
    with on_the_mount(f"making the directory {directory.name}"):
        for path in (*reversed(directory.parents), directory):
            if not path.is_dir():
                path.mkdir(mode=0o755, exist_ok=True)
                sync(path.parent)
    return directory


def listed(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def looked_at(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None: it has gone since it was listed."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def age(written: float) -> float:
    """Seconds; of a file of the future, which another host's clock makes, none."""
    return max(0.0, time.time() - written)
