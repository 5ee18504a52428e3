"""RRSets: the records of one name and type in a zone, and which of them can stand together.

Names are relative to the zone, ``@`` is the zone itself (its apex). The apex has exactly one SOA record and at least
one NS record; a name with a CNAME has nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from infra.domain.errors import InvalidInput, Problems
from infra.domain.refusals import ServiceError
from infra.domain.zones import LONGEST, first_soa, missing_name_servers

# fmt: off
RRSetType = Literal[
    "A", "AAAA", "CAA", "CNAME", "DS", "HINFO", "HTTPS", "MX", "NS", "PTR", "RP", "SOA", "SRV", "SVCB", "TLSA", "TXT",
]
# fmt: on
TYPES: tuple[RRSetType, ...] = get_args(RRSetType)
APEX = "@"
SINGLE = ("SOA", "CNAME")
"""Types of which a name has one record."""
MOST = 50
"""Records of one RRSet."""

LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)

Same = Callable[[str], str]
"""What two values have in common when they are one record: ``::1`` and ``0:0::1``."""


@dataclass(frozen=True, slots=True)
class Record:
    """``value``: as its owner wrote it."""

    value: str
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class NewRRSet:
    """``ttl`` None: the zone's."""

    name: str
    type: RRSetType
    records: tuple[Record, ...]
    ttl: int | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.type


def name_problem(name: str, zone: str) -> str | None:
    """What keeps ``name`` from being one of the zone's."""
    if name == APEX:
        return None
    if name != name.lower():
        return "must be in lower case"
    if name.endswith("."):
        return "must not end with a dot"
    if name == zone or name.endswith(f".{zone}"):
        return f"must be relative to the zone, without {zone!r}"
    labels = name.split(".")
    if not all(LABEL.fullmatch(label) for label in (labels[1:] if labels[0] == "*" else labels)):
        return "must be @, or letters, digits, hyphens and underscores, parts of 1 to 63 characters with dots between"
    if len(name) + 1 + len(zone) > LONGEST:
        return f"must have at most {LONGEST} characters together with the zone's name"
    return None


def place_problem(name: str, type: str) -> str | None:
    """What keeps an RRSet of that type from standing at that name of any zone."""
    if type == "SOA" and name != APEX:
        return f"a zone has its SOA record at {APEX}"
    if type == "CNAME" and name == APEX:
        return f"a CNAME record cannot stand at {APEX}, where the SOA and NS records are"
    return None


def neighbour_problem(type: str, others: Iterable[str]) -> str | None:
    """``others``: the types of the same name."""
    beside = sorted(set(others) - {type})
    if beside and (type == "CNAME" or "CNAME" in beside):
        return f"a CNAME record stands alone: the name has {', '.join(beside)} already"
    return None


def count_problem(type: str, count: int) -> str | None:
    if not count:
        return "must have at least one record"
    if type in SINGLE and count > 1:
        return f"an RRSet of type {type} has exactly one record"
    if count > MOST:
        return f"an RRSet has at most {MOST} records"
    return None


def repeated(records: Sequence[Record], same: Same) -> Problems:
    """Records that say what an earlier one says."""
    seen: set[str] = set()
    problems = []
    for n, record in enumerate(records):
        if same(record.value) in seen:
            problems.append((f"records.{n}.value", "the same record is given twice"))
        seen.add(same(record.value))
    return problems


def added(records: Sequence[Record], more: Sequence[Record], same: Same) -> tuple[Record, ...]:
    """InvalidInput: one is there already."""
    there = {same(record.value) for record in records}
    problems = [
        (f"records.{n}.value", "the RRSet has this record already")
        for n, record in enumerate(more)
        if same(record.value) in there
    ]
    if problems:
        raise InvalidInput.fields(problems)
    return (*records, *more)


def removed(records: Sequence[Record], fewer: Sequence[Record], same: Same) -> tuple[Record, ...]:
    """InvalidInput: one is not there."""
    _known(records, fewer, same)
    gone = {same(record.value) for record in fewer}
    return tuple(record for record in records if same(record.value) not in gone)


def commented(records: Sequence[Record], comments: Sequence[Record], same: Same) -> tuple[Record, ...]:
    """With new comments, the values as they were. InvalidInput: one is not there."""
    _known(records, comments, same)
    new = {same(record.value): record.comment for record in comments}
    return tuple(Record(one.value, new.get(same(one.value), one.comment)) for one in records)


def _known(records: Sequence[Record], asked: Sequence[Record], same: Same) -> None:
    there = {same(record.value) for record in records}
    problems = [
        (f"records.{n}.value", "the RRSet has no such record")
        for n, record in enumerate(asked)
        if same(record.value) not in there
    ]
    if problems:
        raise InvalidInput.fields(problems)


def check_removable(name: str, type: str) -> None:
    """ServiceError: a zone is never without its SOA and NS records."""
    if name == APEX and type in ("SOA", "NS"):
        raise ServiceError(f"a zone is never without its {type} records: they can be changed, and go with the zone")


def together_problems(rrsets: Sequence[NewRRSet]) -> Problems:
    """What keeps the RRSets of a whole zone from standing together, by their place among them."""
    types: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    problems = []
    for n, rrset in enumerate(rrsets):
        here = types.setdefault(rrset.name, set())
        if rrset.key in seen:
            problems.append((f"rrsets.{n}", f"the RRSet {rrset.name}/{rrset.type} is given twice"))
        elif problem := neighbour_problem(rrset.type, here):
            problems.append((f"rrsets.{n}.type", problem))
        seen.add(rrset.key)
        here.add(rrset.type)
    return problems


def with_apex(rrsets: Sequence[NewRRSet], name_servers: Sequence[str]) -> tuple[NewRRSet, ...]:
    """With the SOA and NS records that every zone has, unless they are among them. Its serial is still to come."""
    soa = NewRRSet(APEX, "SOA", (Record(first_soa(name_servers, 0)),))
    ns = NewRRSet(APEX, "NS", tuple(Record(name) for name in name_servers))
    there = {rrset.key for rrset in rrsets}
    return (*(one for one in (soa, ns) if one.key not in there), *rrsets)


def apex_problem(rrsets: Iterable[NewRRSet], name_servers: Sequence[str], same: Same) -> str | None:
    """What keeps RRSets from being a whole zone's: its SOA record and its name servers have to be among them."""
    by_key = {rrset.key: rrset for rrset in rrsets}
    if (APEX, "SOA") not in by_key:
        return f"has no SOA record for {APEX}"
    there = by_key.get((APEX, "NS"))
    missing = missing_name_servers(name_servers, (same(record.value) for record in there.records) if there else ())
    return f"lacks the zone's name servers among the NS records of {APEX}: {', '.join(missing)}" if missing else None
