"""Values of records: whether one is what its type wants, and when two are the same record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer

from infra.dns.servable import unservable
from infra.domain.errors import Problems
from infra.domain.rrsets import Record, count_problem, repeated

LONGEST = 4096
QUOTED = "must be one or more quoted strings of at most 255 characters each, with spaces between"


def origin_of(zone: str) -> dns.name.Name:
    """Of a zone's name, which is known to be one."""
    return dns.name.from_text(f"{zone}.")


@lru_cache(maxsize=4096)
def parsed(zone: str, type: str, value: str) -> dns.rdata.Rdata:
    """Names that are relative in the value are the zone's. DNSException, ValueError: it is none of that type."""
    return dns.rdata.from_text(dns.rdataclass.IN, type, value, origin_of(zone), relativize=False)


def value_problem(zone: str, type: str, value: str) -> str | None:
    """What keeps a value from being one of that type in that zone."""
    if len(value) > LONGEST:
        return f"must have at most {LONGEST} characters"
    if not value.strip() or any(character < " " or character == "\x7f" for character in value):
        return "must be one line of text"
    if value.lstrip().startswith("\\#"):
        return f"must be written as type {type} is, not as bytes"
    try:
        if type == "TXT" and not _all_quoted(value):
            return QUOTED
        rdata = parsed(zone, type, value)
        if rdata.rdcomment is not None:
            return "must not hold a comment: it has a field of its own"
        return unservable(type, rdata)
    except (dns.exception.DNSException, ValueError) as cause:
        return f"is no value of type {type}: {str(cause).rstrip('.').lower() or 'it is malformed'}"


def _all_quoted(value: str) -> bool:
    tokens = dns.tokenizer.Tokenizer(value)
    while not (token := tokens.get()).is_eol_or_eof():
        if not token.is_quoted_string():
            return False
    return True


def canonical(zone: str, type: str, value: str) -> str:
    """The same for all values that are one record: names absolute and in lower case, addresses in one spelling."""
    rdata = parsed(zone, type, value)
    return rdata.to_text() if type in ("TXT", "HINFO", "CAA") else rdata.to_text().lower()


def stored(zone: str, type: str, records: Sequence[Record]) -> tuple[Record, ...]:
    """As their owner wrote them; only of an SOA record the seven fields, since its serial is ours."""
    if type != "SOA":
        return tuple(records)
    return tuple(Record(parsed(zone, type, one.value).to_text(), one.comment) for one in records)


def record_problems(zone: str, type: str, records: Sequence[Record]) -> Problems:
    """All that is wrong with the records of an RRSet, each by its field."""
    problems = [
        (f"records.{n}.value", problem)
        for n, record in enumerate(records)
        if (problem := value_problem(zone, type, record.value))
    ]
    if count := count_problem(type, len(records)):
        problems.append(("records", count))
    return problems or repeated(records, lambda value: canonical(zone, type, value))
