"""What a zone is to hold: RRSets and zone files checked, every problem told at once, and completed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address, ip_network

from api.schemas.zones import CreateZone
from infra.config import Settings
from infra.db.zones import Zone
from infra.dns import zonefiles
from infra.dns.values import canonical, record_problems
from infra.dns.zonefiles import Unreadable, Zonefile
from infra.domain.errors import InvalidInput, Problems
from infra.domain.rrsets import (
    TYPES,
    NewRRSet,
    Record,
    RRSetType,
    apex_problem,
    name_problem,
    place_problem,
    together_problems,
    with_apex,
)
from infra.domain.web_addresses import is_elsewhere
from infra.domain.zones import DEFAULT_TTL, PrimaryNameserver

IN_PATH = {"name": "rr_name", "type": "rr_type"}


async def first_contents(body: CreateZone, name_servers: Sequence[str]) -> Zonefile:
    """What a new zone begins with, and its TTL. InvalidInput names each field that is wrong."""
    if body.mode == "secondary":
        _refuse(_secondary_problems(body))
        return Zonefile(body.ttl or DEFAULT_TTL, ())
    _refuse(await asyncio.to_thread(_primary_problems, body))
    given = Zonefile(body.ttl or DEFAULT_TTL, tuple(one.rrset for one in body.rrsets))
    if body.zonefile is not None:
        given = await _read(body.zonefile, body.name, given.ttl)
    field = "rrsets" if body.zonefile is None else "zonefile"
    whole = with_apex(given.rrsets, name_servers)
    _refuse_apex(field, whole, body.name, name_servers)
    return Zonefile(body.ttl or given.ttl, whole)


async def imported(zone: Zone, text: str) -> Zonefile:
    """All that a zone holds from now on. InvalidInput: it cannot be read, or lacks what every zone has."""
    found = await _read(text, zone.name, zone.ttl)
    _refuse_apex("zonefile", found.rrsets, zone.name, zone.name_servers)
    return found


def check_primaries(primaries: Sequence[PrimaryNameserver], settings: Settings) -> None:
    """InvalidInput names those that our name servers are not sent to: what only they can reach is nobody's to ask."""
    refused = [ip_network(one) for one in settings.source_refused]
    allowed = [ip_network(one) for one in settings.dns_primaries_allowed]
    _refuse(
        [
            (f"primary_nameservers.{n}.address", "must be a public address")
            for n, one in enumerate(primaries)
            if not is_elsewhere(ip_address(one.address), refused, allowed)
        ]
    )


def rrset_problems(zone: str, rrset: NewRRSet) -> Problems:
    """All that is wrong with one RRSet, each by its field."""
    problems: Problems = []
    if wrong := name_problem(rrset.name, zone):
        problems.append(("name", wrong))
    if wrong := place_problem(rrset.name, rrset.type):
        problems.append(("type", wrong))
    return problems + record_problems(zone, rrset.type, rrset.records)


def check_rrset(zone: str, rrset: NewRRSet) -> None:
    """InvalidInput names each field that is wrong."""
    _refuse(rrset_problems(zone, rrset))


def check_records(zone: str, type: RRSetType, records: Sequence[Record]) -> None:
    """InvalidInput names each value that is none of that type."""
    _refuse(record_problems(zone, type, records))


def added_rrset(zone: str, name: str, type: str, records: tuple[Record, ...], ttl: int | None) -> NewRRSet:
    """What a path and a body name together. InvalidInput: there can be no such RRSet."""
    known = next((one for one in TYPES if one == type), None)
    if known is None:
        raise InvalidInput.field("rr_type", f"{type!r} is none of {', '.join(TYPES)}")
    rrset = NewRRSet(name, known, records, ttl)
    _refuse([(IN_PATH.get(field, field), problem) for field, problem in rrset_problems(zone, rrset)])
    return rrset


def _refuse(problems: Problems) -> None:
    if problems:
        raise InvalidInput.fields(problems)


def _secondary_problems(body: CreateZone) -> Problems:
    problems: Problems = []
    if not body.primary_nameservers:
        problems.append(("primary_nameservers", "a secondary zone needs one at least"))
    if body.rrsets:
        problems.append(("rrsets", "a secondary zone has those of its primary name servers"))
    if body.zonefile is not None:
        problems.append(("zonefile", "a secondary zone has what its primary name servers have"))
    return problems


def _primary_problems(body: CreateZone) -> Problems:
    problems: Problems = []
    if body.primary_nameservers:
        problems.append(("primary_nameservers", "a primary zone has none"))
    if body.rrsets and body.zonefile is not None:
        problems.append(("zonefile", "cannot be given together with rrsets"))
    rrsets = [one.rrset for one in body.rrsets]
    for n, rrset in enumerate(rrsets):
        problems += [(f"rrsets.{n}.{field}", problem) for field, problem in rrset_problems(body.name, rrset)]
    return problems + together_problems(rrsets)


async def _read(text: str, zone: str, ttl: int) -> Zonefile:
    """In a thread: a long file takes a second."""
    try:
        return await asyncio.to_thread(zonefiles.read, text, zone, ttl)
    except Unreadable as cause:
        raise InvalidInput.field("zonefile", str(cause)) from cause


def _refuse_apex(field: str, rrsets: Sequence[NewRRSet], zone: str, name_servers: Sequence[str]) -> None:
    if problem := apex_problem(rrsets, name_servers, partial(canonical, zone, "NS")):
        raise InvalidInput.field(field, problem)
