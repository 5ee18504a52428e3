"""An image that lies in a local file, as `infra.domain.image_header` looks at it. Blocking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileSource:
    """An open file, of ``size`` bytes when it was opened."""

    descriptor: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.descriptor, length, offset) if offset < self.size else b""


@contextmanager
def opened(path: Path) -> Iterator[FileSource]:
    """A regular file to look at; a link is not followed. OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield FileSource(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
