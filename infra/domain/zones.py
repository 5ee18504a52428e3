"""Zones: what one may be called, which lie within it, what a new one begins with, and how its serial rises.

A zone's name is absolute and written without its last dot. The names of name servers and whatever else a record speaks
of are written with it, or are relative to the zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address
from typing import Literal

Mode = Literal["primary", "secondary"]
TsigAlgorithm = Literal["hmac-md5", "hmac-sha1", "hmac-sha256"]

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
LONGEST = 253
SHORTEST_TTL, LONGEST_TTL, DEFAULT_TTL = 60, 2**31 - 1, 3600
"""Seconds."""
LARGEST_SERIAL = 2**32 - 1
MOST_RECORDS = 10_000
"""Of one zone: it can be read, checked and written as a whole in about a second."""

REFRESH, RETRY, EXPIRE, MINIMUM = 86400, 10800, 3600000, 3600
"""Seconds in the SOA of a new zone, as hcloud has them."""


@dataclass(frozen=True, slots=True)
class PrimaryNameserver:
    """Where a secondary zone is transferred from. ``address``: IPv4 or IPv6. The key is the secret of both sides."""

    address: str
    port: int = 53
    tsig_algorithm: TsigAlgorithm | None = None
    tsig_key: str | None = None


def zone_name_problem(name: str) -> str | None:
    """What keeps ``name`` from being a zone's."""
    if name != name.lower():
        return "must be in lower case"
    if name.endswith("."):
        return "must not end with a dot"
    if len(name) > LONGEST:
        return f"must have at most {LONGEST} characters"
    labels = name.split(".")
    if not all(LABEL.fullmatch(label) for label in labels):
        return "must be a domain name: letters, digits and hyphens, internationalized parts as punycode (xn--)"
    if len(labels) < 2 or labels[-1].isdecimal():
        return "must be a domain name of two parts or more, such as example.com"
    return None


def names_above(name: str) -> list[str]:
    """The zones that a zone of that name is a part of, if there are any: the nearest first, the domain itself last."""
    labels = name.split(".")
    return [".".join(labels[n:]) for n in range(1, len(labels) - 1)]


def domain_of(name: str) -> str:
    """The shortest name that a zone can have which is a part of ``name``, or all of it: zones that lie one within the
    other have the same."""
    return ".".join(name.split(".")[-2:])


def names_below(name: str) -> tuple[str, str]:
    """From where, and up to where (not included), all names below ``name`` lie, and no others, when names are written
    backwards and compared byte by byte."""
    backwards = name[::-1]
    return f"{backwards}.", f"{backwards}/"  # what comes next after the dot


def address_problem(address: str) -> str | None:
    try:
        ip_address(address)
    except ValueError:
        return "must be an IPv4 or IPv6 address"
    return None


def absolute(name: str) -> str:
    """With its last dot."""
    return name.rstrip(".") + "."


def first_soa(name_servers: Sequence[str], serial: int) -> str:
    """Of a new zone. ``name_servers``: absolute; who answers for the zone is reached where the first one lives."""
    first = name_servers[0]
    domain = first.partition(".")[2] or first
    return f"{first} hostmaster.{domain} {serial} {REFRESH} {RETRY} {EXPIRE} {MINIMUM}"


def serial_of(soa: str) -> int:
    return int(soa.split()[2])


def with_serial(soa: str, serial: int) -> str:
    """``soa``: its seven fields with spaces between."""
    fields = soa.split()
    return " ".join([*fields[:2], str(serial), *fields[3:]])


def next_serial(present: int, today: date) -> int:
    """``YYYYMMDDnn``; after a hundred changes in a day the next day's are used.

    The largest serial is followed by today's, which RFC 1982 takes for a later one.
    """
    of_today = int(f"{today:%Y%m%d}00")
    return of_today if present < of_today or present >= LARGEST_SERIAL else present + 1


def missing_name_servers(assigned: Iterable[str], values: Iterable[str]) -> list[str]:
    """Those that an NS RRSet of the apex leaves out. ``values``: as they are compared, absolute and in lower case."""
    there = set(values)
    return [name for name in assigned if name.lower() not in there]
