"""Zone files (RFC 1035, section 5): a text that holds all RRSets of a zone.

A file speaks for itself: ``$INCLUDE`` and ``$GENERATE`` are refused, what lies outside the zone as well, and it is
given up at the first record too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tokenizer
import dns.transaction
import dns.zone
import dns.zonefile

from infra.dns.servable import unservable
from infra.dns.values import LONGEST, origin_of, parsed
from infra.domain.rrsets import APEX, SINGLE, TYPES, NewRRSet, Record, count_problem, name_problem, place_problem
from infra.domain.zones import LONGEST_TTL, MOST_RECORDS, SHORTEST_TTL

DIRECTIVES = ("$ORIGIN", "$TTL")
Found = tuple[dns.name.Name, dns.rdataset.Rdataset]
Check = Callable[[dns.transaction.Transaction, dns.name.Name, dns.rdataset.Rdataset], None]


class Unreadable(Exception):
    """What is wrong with a file, for its owner."""


@dataclass(frozen=True, slots=True)
class Zonefile:
    """``ttl``: the file's default, else the zone's. RRSets that have it have no TTL of their own."""

    ttl: int
    rrsets: tuple[NewRRSet, ...]


def read(text: str, zone: str, ttl: int) -> Zonefile:
    """Unreadable says what is wrong. ``ttl``: the zone's, for records without one in a file without ``$TTL``."""
    try:
        found, default = _found(text, origin_of(zone), ttl)
    except (dns.exception.DNSException, ValueError, LookupError) as cause:
        raise Unreadable(str(cause).removeprefix("<string>:") or "the file is malformed") from cause
    return Zonefile(_sound_ttl(default, "$TTL"), tuple(_new(*one, zone, default) for one in found))


class _Reader(dns.zonefile.Reader):
    """Passes over nothing: dnspython's skips the lines of what lies outside the zone."""

    def _eat_line(self) -> None:
        raise Unreadable(f"{self.last_name} lies outside the zone")


def _found(text: str, origin: dns.name.Name, ttl: int) -> tuple[Iterator[Found], int]:
    """All RRSets, in the order of their names in the file, and its default TTL."""
    zone = dns.zone.Zone(origin, relativize=False)
    with zone.writer(True) as transaction:
        tokens = dns.tokenizer.Tokenizer(text)
        reader = _Reader(tokens, dns.rdataclass.IN, transaction, allow_directives=DIRECTIVES, default_ttl=ttl)
        transaction.check_put_rdataset(_bounds())
        reader.read()
    return ((name, rdataset) for name, node in zone.nodes.items() for rdataset in node), reader.default_ttl


def _bounds() -> Check:
    """Asked at each record, so that no file keeps us long."""
    total = 0
    single: set[tuple[dns.name.Name, str]] = set()

    def check(_: dns.transaction.Transaction, name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> None:
        nonlocal total
        total += 1
        type = dns.rdatatype.to_text(rdataset.rdtype)
        if total > MOST_RECORDS:
            raise Unreadable(f"a zone has at most {MOST_RECORDS} records")
        if problem := count_problem(type, len(rdataset) + ((name, type) in single)):
            raise Unreadable(f"{name} {type}: {problem}")
        if type in SINGLE:  # which a second record would silently replace
            single.add((name, type))

    return check


def _new(owner: dns.name.Name, rdataset: dns.rdataset.Rdataset, zone: str, default: int) -> NewRRSet:
    name = _relative(owner, zone)
    type = next((one for one in TYPES if one == dns.rdatatype.to_text(rdataset.rdtype)), None)
    if type is None:
        raise Unreadable(f"{name}: records of type {dns.rdatatype.to_text(rdataset.rdtype)} are not served")
    records = tuple(Record(rdata.to_text(), (rdata.rdcomment or "").strip() or None) for rdata in rdataset)
    long = next((f"a value has more than {LONGEST} characters" for one in records if len(one.value) > LONGEST), None)
    unfit = next((problem for rdata in rdataset if (problem := unservable(type, rdata))), None)
    if problem := name_problem(name, zone) or place_problem(name, type) or long or unfit:
        raise Unreadable(f"{name} {type}: {problem}")
    own = None if rdataset.ttl == default else _sound_ttl(rdataset.ttl, f"{name} {type}")
    return NewRRSet(name, type, records, own)


def _relative(name: dns.name.Name, zone: str) -> str:
    origin = origin_of(zone)
    return name.relativize(origin).to_text().lower() if name != origin else APEX


def _sound_ttl(ttl: int, where: str) -> int:
    if not SHORTEST_TTL <= ttl <= LONGEST_TTL:
        raise Unreadable(f"{where}: a TTL must be {SHORTEST_TTL} to {LONGEST_TTL} seconds")
    return ttl


def write(zone: str, ttl: int, rrsets: Iterable[NewRRSet]) -> str:
    """``rrsets``: in the order in which they are to stand. What is read again comes to the same."""
    lines = [f"$ORIGIN\t{zone}.", f"$TTL\t{ttl}"]
    for rrset in rrsets:
        lines.append("")
        own = "" if rrset.ttl is None else f"{rrset.ttl}\t"
        for record in rrset.records:
            value = parsed(zone, rrset.type, record.value).to_text()
            lines.append(f"{rrset.name}\t{own}IN\t{rrset.type}\t{value}{_comment(record)}")
    return "\n".join([*lines, ""])


def _comment(record: Record) -> str:
    """On one line, whatever it is."""
    return f"\t; {' '.join(record.comment.split())}" if record.comment and record.comment.strip() else ""
