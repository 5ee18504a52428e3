"""Images fetched ahead: in the order that the books say, and whatever goes wrong is nobody's trouble."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from infra.domain.errors import HostUnavailable, Unavailable
from infra.domain.models import Image
from infra.drivers.protocols import Progress
from infra.internal_api import InternalApi
from workers.prefetch import prefetch

IMAGES = [Image(number, f"image{number}", f"{number:064x}", "x86", 1, True) for number in range(3)]


@dataclass
class Cache:
    """Of a host. ``failing``: by the image's id."""

    failing: dict[int, Exception] = field(default_factory=dict)
    has: list[Image] = field(default_factory=list)

    async def ensure(self, image: Image, progress: Progress) -> None:
        raise AssertionError("nobody ordered it")

    async def prefetch(self, image: Image) -> None:
        if image.id in self.failing:
            raise self.failing[image.id]
        self.has.append(image)


@dataclass
class Books:
    answer: list[Image] | Exception

    async def wanted_images(self) -> list[Image]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_what_fails_is_left_out_and_the_rest_comes_in_its_order() -> None:
    cache = Cache({0: HostUnavailable("the store is away"), 1: RuntimeError("a bug")})
    await prefetch(cache, cast(InternalApi, Books(IMAGES)))
    assert cache.has == IMAGES[2:]


async def test_books_that_do_not_answer_disturb_nothing() -> None:
    cache = Cache()
    await prefetch(cache, cast(InternalApi, Books(Unavailable("away"))))
    assert cache.has == []
