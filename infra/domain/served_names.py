"""What name servers shall answer: derived from what owners wrote, which servers run, and who holds which address.

A server whose name lies in a zone of its project has its addresses there, unless its owner wrote records of that type
at the name, or a CNAME record: his stand. An address is called what its owner says; else what its server is, if that
lies in such a zone; else, for IPv4, what the catalog's template makes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from ipaddress import ip_address, ip_network

from infra.domain.dns_ptr import default_ptr
from infra.domain.reverse_zones import ptr_name
from infra.domain.zones import SHORTEST_TTL, Mode, names_above, next_serial

NAME_TTL = SHORTEST_TTL
"""Seconds, of names that come and go with their servers: the shortest that an owner could choose."""

Key = tuple[str, str]
"""Name (absolute, in lower case, without its last dot) and type."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one name answers for one type: ``contents`` as the name server has them."""

    ttl: int
    contents: frozenset[str]


Answers = Mapping[Key, Answer]


@dataclass(frozen=True, slots=True)
class NamedServer:
    """A server whose name is published. ``addresses``: what it takes of its public addresses."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldName:
    """An address that somebody holds, or a network (/64) of which the first one is used.

    ``named``: what its owner calls it, by address. ``server``: the name of the server that has it, if published.
    ``withheld``: a server has it that is not published (yet, or any more).
    """

    address: str
    named: Mapping[str, str] = field(default_factory=dict)
    server: str | None = None
    withheld: bool = False

    @property
    def first(self) -> str:
        return first_of(self.address)


def first_of(address: str) -> str:
    """What whoever has it uses: of a network (/64) the first address."""
    return address.replace("::/64", "::1") if address.endswith("::/64") else str(ip_address(address.partition("/")[0]))


def lies_in(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")


def zone_of(name: str, zones: Mapping[str, Mode]) -> str | None:
    """The primary zone that a server's name is served in: the longest that it lies in. ``zones``: of its project."""
    name = name.lower()
    found = next((zone for zone in (name, *names_above(name)) if zone in zones), None)
    return found if found is not None and zones[found] == "primary" else None


def answers_for(servers: Iterable[NamedServer], written: Collection[Key]) -> dict[Key, Answer]:
    """The addresses of servers, where their owners wrote nothing else. ``written``: the keys of what they wrote."""
    found: dict[Key, set[str]] = {}
    for server in servers:
        name = server.name.lower()
        for address in server.addresses:
            key = name, "A" if ip_address(address).version == 4 else "AAAA"
            if key not in written and (name, "CNAME") not in written:
                found.setdefault(key, set()).add(address)
    return {key: Answer(NAME_TTL, frozenset(addresses)) for key, addresses in found.items()}


def reverse_answers(held: Iterable[HeldName], template: str) -> dict[Key, Answer]:
    """The names of addresses. ``template``: the catalog's, see ``default_ptr``."""
    return {
        (ptr_name(ip), "PTR"): Answer(NAME_TTL, frozenset({f"{name}."}))
        for one in held
        if not one.withheld
        for ip, name in _names(one, template).items()
    }


def _names(held: HeldName, template: str) -> dict[str, str]:
    own = ip_network(held.address, strict=False)  # a load balancer has names of both its addresses
    names = {ip: name.rstrip(".").lower() for ip, name in held.named.items() if ip_address(ip) in own}
    default = default_ptr(held.first, template) if ip_address(held.first).version == 4 else ""
    if first := (held.server or "").lower() or default:
        names.setdefault(held.first, first)
    return names


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be answered otherwise, and what no more."""

    other: dict[Key, Answer]
    gone: tuple[Key, ...]

    def __bool__(self) -> bool:
        return bool(self.other or self.gone)


def difference(served: Answers, wanted: Answers) -> Difference:
    other = {key: answer for key, answer in wanted.items() if served.get(key) != answer}
    return Difference(other, tuple(sorted(key for key in served if key not in wanted)))


def without(difference: Difference, keys: Collection[Key]) -> Difference:
    """All of it but these."""
    return Difference({key: answer for key, answer in difference.other.items() if key not in keys}, difference.gone)


def beyond(difference: Difference, names: Collection[str] | None) -> Difference:
    """All of it but what is about these names; None: about any."""
    if names is None:
        return Difference({}, ())
    other = {key: answer for key, answer in difference.other.items() if key[0] not in names}
    return Difference(other, tuple(key for key in difference.gone if key[0] not in names))


def told(difference: Difference) -> str | None:
    """In words, the first of each kind named; None: there is none."""
    parts = {"answers otherwise, or not at all, for": sorted(difference.other), "should not answer": difference.gone}
    said = [f"{what} {_keys(keys)}" for what, keys in parts.items() if keys]
    return "; it ".join(said) or None


def _keys(keys: Sequence[Key]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(" ".join(key) for key in keys[:3]) + more


def is_later(serial: int, than: int) -> bool:
    """RFC 1982: half of all serials come after each."""
    return 0 < (serial - than) % 2**32 < 2**31


def serial_after(served: int, written: int, changed: bool, today: date) -> int:
    """The serial to serve: it rises with whatever changes. ``written``: the books', which rises with them; one that is
    behind what is served (a server's name came meanwhile) is passed over."""
    if is_later(written, served):
        return written
    return next_serial(served, today) if changed else served
