"""Which images leave a host's cache: the least recently used first, and never one that is in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image with its grown templates: they come and go together. ``size``: bytes. ``used``: the time of its last
    use, in seconds since the epoch. ``held``: it is in use."""

    digest: str
    size: int
    used: float
    held: bool


def leaving(cached: Sequence[CachedImage], limit: int, needed: int) -> Iterator[CachedImage]:
    """What has to go so that all that stays and ``needed`` bytes more fit under ``limit``; as much as can."""
    over = sum(image.size for image in cached) + needed - limit
    for image in sorted(cached, key=lambda image: image.used):
        if over <= 0:
            return
        if not image.held:
            over -= image.size
            yield image
