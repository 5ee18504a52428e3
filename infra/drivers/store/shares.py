"""Shares: of what all projects use together, each has at most a part, so that none can keep it from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from infra.domain.errors import RateLimited


class Shares:
    """``most``: so many at a time of one project."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[int] = Counter()

    @contextmanager
    def taken(self, project_id: int) -> Iterator[None]:
        """RateLimited: the project has its share already."""
        if self._taken[project_id] >= self._most:
            raise RateLimited(
                f"the project brings in {self._most} images at this moment; go on once one of them is through"
            )
        self._taken[project_id] += 1
        try:
            yield
        finally:
            self._taken[project_id] -= 1
            if not self._taken[project_id]:
                del self._taken[project_id]
