"""References in requests: an id or a name, found among what there is."""

from __future__ import annotations

from collections.abc import Sequence

from api.pagination import N


def chosen(asked: int | str, offered: Sequence[N]) -> N | None:
    """By id or name; digits in a string are a name first, then an id."""
    by_name = [one for one in offered if one.name == asked]
    return next(iter(by_name), None) or with_id(asked, offered)


def with_id(asked: int | str, offered: Sequence[N]) -> N | None:
    return next((one for one in offered if str(one.id) == str(asked)), None)
