"""Images in memory, as they are looked at, with a count of what was read."""

from __future__ import annotations

from infra.domain.errors import ImageRefused
from infra.domain.image_header import Format, Identified, identify
from tests.images.good import LIMIT


class Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)
        self.largest = self.total = 0

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        piece = self._content[offset : offset + length]
        self.largest, self.total = max(self.largest, length), self.total + len(piece)
        return piece


def look(content: bytes, claimed: Format | None = None, limit: int = LIMIT) -> Identified:
    return identify(Bytes(content), limit, claimed)


def refusal(content: bytes, claimed: Format | None = None, limit: int = LIMIT) -> str:
    """Why it is refused; empty when it is not."""
    try:
        look(content, claimed, limit)
    except ImageRefused as refused:
        return refused.message
    return ""
