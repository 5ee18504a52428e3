"""Topology: where a host stands (location, availability zone, rack, switch), and how hosts and places may be named.

Names are compared as they are written, so two spellings of one rack would be two failure domains: lower case only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from infra.domain.errors import InvalidInput

NAME = re.compile(r"[a-z0-9._-]{1,63}", re.ASCII)
ALLOWED = "must be 1 to 63 lower-case letters, digits, '-', '.' and '_'"

MOST_OVERCOMMIT = 100.0
"""Virtual cores for a real one. Far beyond it the books could not count a large host's cores any more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What operators say of a host. None: they say nothing of it. An empty zone, rack or switch: it stands in none."""

    name: str | None = None
    availability_zone: str | None = None
    rack: str | None = None
    switch: str | None = None
    overcommit: float | None = None

    def check(self) -> None:
        """InvalidInput: everything that is wrong."""
        places = (("zone", self.availability_zone), ("rack", self.rack), ("switch", self.switch))
        found = [
            ("name", None if self.name is None else host_name_problem(self.name)),
            *((field, place_problem(place or "")) for field, place in places),
            ("overcommit", None if self.overcommit is None else overcommit_problem(self.overcommit)),
        ]
        if problems := [(field, problem) for field, problem in found if problem]:
            raise InvalidInput.fields(problems)


def host_name_problem(name: str) -> str | None:
    """What keeps ``name`` from being a host's, or None."""
    if not NAME.fullmatch(name):
        return ALLOWED
    return "must not be a number: it would read as a host's id" if name.isdecimal() else None


def place_problem(name: str) -> str | None:
    """What keeps ``name`` from being that of a zone, a rack or a switch, or None."""
    return None if not name or NAME.fullmatch(name) else ALLOWED


def overcommit_problem(overcommit: float) -> str | None:
    if math.isfinite(overcommit) and 1 <= overcommit <= MOST_OVERCOMMIT:
        return None
    return f"must be a number from 1 to {MOST_OVERCOMMIT:g}"


def host_name_of(node: str) -> str:
    """What a machine that is called ``node`` is called as a host, unless somebody names it."""
    return node.lower()[:63]
