"""Why a server is where it is, on the wire: what placement found, without a word of which host is whose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from typing_extensions import TypedDict

from api.schemas.times import timestamp
from infra.db.claims import Placed
from infra.domain.placement import FILTERS, TERMS

T = TypeVar("T")


class CandidateWire(TypedDict):
    """``terms``: each in [0, 1], before its weight. ``chosen``: the server is there."""

    score: float
    terms: dict[str, float]
    chosen: bool


class PlacementWire(TypedDict):
    """``candidates``: hosts that could have taken it; ``dropped``: by filter, in the order in which they are asked, how
    many could not; ``best``: the first of the ranking. ``weights_version`` and ``input_digest``: of the formula, and
    of all that it was given, so that an operator can decide it again."""

    placed: str
    weights_version: str
    input_digest: str
    candidates: int
    dropped: dict[str, int]
    best: list[CandidateWire]


class PlacementAnswer(TypedDict):
    """Null: it is on no host (yet)."""

    placement: PlacementWire | None


def placement_wire(placed: Placed) -> PlacementWire:
    """Hosts have no names and no numbers here: a tenant has no business with them."""
    told = placed.decision
    return {
        "placed": timestamp(placed.created),
        "weights_version": told["weights_version"],
        "input_digest": told["input_digest"],
        "candidates": told["candidates"],
        "dropped": _in_order(told["dropped"], FILTERS),
        "best": [_candidate(one, placed.host_id) for one in told["best"]],
    }


def _in_order(told: Mapping[str, T], names: Iterable[str]) -> dict[str, T]:
    """JSON of the books is in no order. What an older version called otherwise comes last."""
    return {name: told[name] for name in (*(name for name in names if name in told), *told)}


def _candidate(told: Mapping[str, Any], host_id: int) -> CandidateWire:
    return {"score": told["score"], "terms": _in_order(told["terms"], TERMS), "chosen": told["host_id"] == host_id}
