"""What can go wrong with the image store, and what the errors of its mount mean.

StoreError
 ├── ImageMissing   no such image or upload; on another host it may be seen later
 ├── ImageDamaged   the content is not what its name says
 ├── StoreFull      no room, or no more quota
 ├── StoreAway      stalled, disconnected or broken: to be tried again, later or elsewhere
 │    └── StaleFile what was open is no longer there: opened again, it may be
 └── StoreUnfit     its mount does not do what an image store has to rely on
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class StoreError(Exception):
    """The message names what was asked of the store, and what its mount answered."""


class ImageMissing(StoreError): ...


class ImageDamaged(StoreError): ...


class StoreFull(StoreError): ...


class StoreAway(StoreError): ...


class StaleFile(StoreAway):
    """The file that was open has been replaced or removed: its name may have another by now."""


class StoreUnfit(StoreError): ...


KINDS = (ImageMissing, ImageDamaged, StoreFull, StoreAway, StaleFile, StoreUnfit)
ERRORS: dict[str, type[StoreError]] = {kind.__name__: kind for kind in KINDS}

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})


@contextmanager
def on_the_mount(what: str) -> Iterator[None]:
    """Errors of the system within are the mount's: they come out as StoreError."""
    try:
        yield
    except OSError as error:
        said = f"{what}: {error.strerror or error}"
        if error.errno in FULL:
            raise StoreFull(said) from error
        if error.errno in MISSING:
            raise ImageMissing(said) from error
        raise (StaleFile if error.errno == errno.ESTALE else StoreAway)(said) from error
