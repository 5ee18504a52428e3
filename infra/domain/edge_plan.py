"""What an edge is to serve."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeOrder:
    """An edge is to follow its plan, whatever that is by now."""

    edge_id: int
