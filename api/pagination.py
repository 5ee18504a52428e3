"""Pages of lists on the wire: ``page``, ``per_page``, ``sort`` in; ``meta.pagination`` with its six keys out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Query
from typing_extensions import TypedDict

from api.documented import shown
from infra.db.listing import Window
from infra.domain.errors import InvalidInput

DEFAULT, MOST = 25, 50
MOST_RRSETS = 100
LAST_PAGE = 10**9  # beyond it an offset no longer fits; nothing is there anyway


class Named(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def windows(most: int) -> Callable[..., Awaitable[Window]]:
    """More than ``most`` a page is clamped, as clients that ask for too much expect."""

    async def window(
        page: Annotated[int, Query(ge=1, le=LAST_PAGE)] = 1,
        per_page: Annotated[int, Query(ge=1)] = DEFAULT,
        sort: Annotated[list[str] | None, Query()] = None,
    ) -> Window:
        return Window(page, min(per_page, most), tuple(_sorting(one) for one in sort or ()))

    return window


Page = Annotated[Window, Depends(windows(MOST))]
WidePage = Annotated[Window, Depends(windows(MOST_RRSETS))]


def _sorting(text: str) -> tuple[str, bool]:
    field, _, direction = text.partition(":")
    if direction not in ("", "asc", "desc"):
        raise InvalidInput.field("sort", f"{text!r} must be a field, field:asc or field:desc")
    return field, direction == "desc"


@shown(page=1, per_page=25, previous_page=None, next_page=2, last_page=2, total_entries=42)
class Pagination(TypedDict):
    """Exactly these keys: some clients take every other one for an error."""

    page: int
    per_page: int
    previous_page: int | None
    next_page: int | None
    last_page: int
    total_entries: int


class Meta(TypedDict):
    pagination: Pagination


def meta(page: Window, total: int) -> Meta:
    last = max(1, -(-total // page.per_page))
    return {
        "pagination": {
            "page": page.page,
            "per_page": page.per_page,
            "previous_page": page.page - 1 if page.page > 1 else None,
            "next_page": page.page + 1 if page.page < last else None,
            "last_page": last,
            "total_entries": total,
        }
    }


def cut(items: Sequence[N], page: Window) -> list[N]:
    """A page of what is in memory as a whole, sorted by ``id`` or ``name``."""
    ordered = sorted(items, key=lambda item: item.id)
    for field, down in reversed(page.sort):
        if field not in ("id", "name"):
            raise InvalidInput.field("sort", f"{field!r} is none of id, name")
        ordered.sort(key=attrgetter(field), reverse=down)
    start = (page.page - 1) * page.per_page
    return ordered[start : start + page.per_page]
