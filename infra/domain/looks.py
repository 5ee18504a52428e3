"""Looks at the machines of a host: which of them are not what the books say, told only when that is sure.

A machine may be off for a moment in the middle of things: it is defined before it is started, and a command stops it to
start it again. So what is seen counts only when it was seen before, some time ago, under the same epoch; and only of a
server that was at rest when the host last asked. Whether it is at rest still, under that epoch, the books decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from infra.domain.models import Confirmed, MachineState, Turned
from infra.domain.power import TURNS

SURE_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """``since``: when it was first seen like that."""

    state: MachineState
    epoch: int
    since: float


@dataclass
class Looks:
    """Of one host. Times are seconds on a clock that only goes forward."""

    sure: float = SURE_S
    seen: Mapping[int, Seen] = field(default_factory=dict)
    """By server, at the newest look."""

    def look(self, states: Mapping[int, MachineState], epochs: Mapping[int, int], now: float) -> None:
        """``epochs``: the highest that the host knows, by server."""
        looked = {server_id: Seen(state, epochs[server_id], now) for server_id, state in states.items()}
        self.seen = {server_id: _kept(self.seen.get(server_id), new) for server_id, new in looked.items()}

    def turned(self, claims: Iterable[Confirmed], now: float) -> dict[int, Turned]:
        """What the books have to be put right about. ``claims``: as they were some time before the newest look."""
        return {
            server_id: Turned(seen.state, seen.epoch)
            for claim in claims
            if (seen := self.seen.get(server_id := claim.machine.server_id))
            and seen.epoch == claim.machine.epoch
            and now - seen.since >= self.sure
            and claim.status is not None
            and (claim.status, "on" if claim.runs else "off", seen.state) in TURNS
        }


def _kept(old: Seen | None, new: Seen) -> Seen:
    return old if old and (old.state, old.epoch) == (new.state, new.epoch) else new
