"""Firewalls of projects: which rules they may hold, how those are written down, and which firewalls a server has.

A rule lets in what comes from its sources, or lets out what goes to its destinations. Ranges are kept in the one way of
writing that RFC 5952 and RFC 4632 make of them, because clients compare them as texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Literal

from infra.domain.labels import Selector, matches

Direction = Literal["in", "out"]
Protocol = Literal["tcp", "udp", "icmp", "esp", "gre"]
Side = Literal["source_ips", "destination_ips"]

MOST_RULES, MOST_RANGES, MOST_ON_A_SERVER = 50, 100, 5
"""Of a firewall, of one side of a rule, and of firewalls that are applied to one server by its id."""

WITH_PORTS: frozenset[Protocol] = frozenset({"tcp", "udp"})
SIDE_OF: Mapping[Direction, Side] = {"in": "source_ips", "out": "destination_ips"}
RANGE = re.compile(r"[0-9A-Fa-f:.]+/\d{1,3}", re.ASCII)
PORTS = re.compile(r"([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?", re.ASCII)
LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Rule:
    """``port``: "80", "1024-5000" or "any", of tcp and udp alone. Ranges are canonical; one side has none."""

    direction: Direction
    protocol: Protocol
    port: str | None = None
    source_ips: tuple[str, ...] = ()
    destination_ips: tuple[str, ...] = ()
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a firewall is applied to: a server, or those that a label selector matches."""

    server_id: int | None = None
    selector: str | None = None

    def __str__(self) -> str:
        return f"server {self.server_id}" if self.server_id is not None else f"label selector {self.selector!r}"


def canonical_range(text: str) -> str:
    """ValueError says what is wrong with it."""
    try:
        if not RANGE.fullmatch(text):
            raise ValueError
        written = ip_interface(text)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 range such as 10.0.0.0/8, 192.0.2.1/32 or 2001:db8::/32") from None
    if written.ip != written.network.network_address:
        raise ValueError(f"has host bits: the range is {written.network}")
    return str(written.network)


def port_problem(protocol: Protocol, port: str | None) -> str | None:
    """What keeps a rule of the protocol from having that port, or none."""
    if protocol not in WITH_PORTS:
        return f"must not be given for {protocol}" if port is not None else None
    if port is None:
        return f"is required for {protocol}"
    if port == "any":
        return None
    found = PORTS.fullmatch(port)
    if found is None:
        return "must be a port such as 80, a range such as 1024-5000, or any"
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= LAST_PORT:
        return f"must be from 1 to {LAST_PORT}, the lower port first"
    return None


def side_problem(direction: Direction, side: Side, ranges: Sequence[str]) -> str | None:
    """What keeps a rule of the direction from having those ranges on that side."""
    if side != SIDE_OF[direction]:
        return f"must not be given for direction {direction}" if ranges else None
    return None if ranges else f"is required for direction {direction}"


def grouped(rules: Iterable[Rule]) -> list[Rule]:
    """Those for what comes in first, each kind in its own order."""
    return sorted(rules, key=lambda rule: rule.direction != "in")


def named_twice(targets: Sequence[Target]) -> list[Target]:
    """Each once, in their order."""
    return [target for target in dict.fromkeys(targets) if targets.count(target) > 1]


def in_effect(direct: Iterable[int], selectors: Iterable[tuple[int, Selector]], labels: Mapping[str, str]) -> list[int]:
    """The ids of a server's firewalls, each once: those that it has by its id, then those that select its labels."""
    return list(dict.fromkeys([*direct, *(id for id, selector in selectors if matches(selector, labels))]))
