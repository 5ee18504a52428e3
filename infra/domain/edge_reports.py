"""How an edge's targets do, in parts that an internal request takes: a full edge has more to say than one may.

Each part is about all services in its own range, and together they are about all there are: so what no part names is
gone. A service is never in two parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from infra.domain.edge_plan import Health

PART = 2000
"""Backends from which on a part is full: with the last service's, half of what the API's body limit lets in."""
FIRST, LAST = (0, 0), (2**53, 0)

Mark = tuple[int, int]
"""A load balancer and a port of it."""


@dataclass(frozen=True, slots=True)
class HealthPart:
    """Of all services after ``after``, up to ``upto`` itself."""

    after: Mark
    upto: Mark
    health: tuple[Health, ...]


def health_parts(health: Sequence[Health]) -> Iterator[HealthPart]:
    after, full = FIRST, list[Health]()
    for mark, of_service in groupby(sorted(health, key=_mark), key=_mark):
        full += of_service
        if len(full) >= PART:
            yield HealthPart(after, mark, tuple(full))
            after, full = mark, []
    yield HealthPart(after, LAST, tuple(full))


def _mark(one: Health) -> Mark:
    return one.load_balancer_id, one.listen_port
