"""Zones on the wire."""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import TypedDict

from api.documented import example
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.fields import Labels, ProtectionWire, Text, Wire
from api.schemas.rrsets import CreateRRSet, Ttl
from api.schemas.times import timestamp
from infra.db.zones import Zone
from infra.domain.zones import Mode, PrimaryNameserver, TsigAlgorithm, address_problem, zone_name_problem

ZONEFILE = """\
$TTL 3600
@ IN SOA ns1.example.net. dns.example.net. 2026013000 86400 10800 3600000 3600
@ IN NS ns1.example.net.
"""
"""Of the document's examples."""


def _zone_name(name: str) -> str:
    if problem := zone_name_problem(name):
        raise ValueError(problem)
    return name


def _address(address: str) -> str:
    if problem := address_problem(address):
        raise ValueError(problem)
    return address


def _key(key: str) -> str:
    try:
        b64decode(key, validate=True)
    except ValueError:
        raise ValueError("must be base64") from None
    return key


ZoneName = Annotated[str, AfterValidator(_zone_name)]


class PrimaryNameserverBody(Wire):
    """Where a secondary zone is transferred from; with a TSIG key (base64) the algorithm that it is for. The key is
    called as the zone is, and one key is used with all of a zone's name servers."""

    address: Annotated[str, AfterValidator(_address)]
    port: int = Field(53, ge=1, le=65535)
    tsig_key: Annotated[Text, Field(min_length=1, max_length=255), AfterValidator(_key)] | None = None
    tsig_algorithm: TsigAlgorithm | None = None

    @model_validator(mode="after")
    def _key_and_algorithm(self) -> Self:
        if (self.tsig_key is None) != (self.tsig_algorithm is None):
            raise ValueError("tsig_key and tsig_algorithm are given together or not at all")
        return self

    @property
    def primary(self) -> PrimaryNameserver:
        return PrimaryNameserver(self.address, self.port, self.tsig_algorithm, self.tsig_key)


Primaries = Annotated[list[PrimaryNameserverBody], Field(min_length=1, max_length=10)]


class CreateZone(Wire, json_schema_extra=example(name="example.com", mode="primary", ttl=3600)):
    """``name``: a domain, or a part of one, in lower case and without its last dot; internationalized ones as punycode.

    A primary zone begins with ``rrsets`` or with what a ``zonefile`` holds, if any; a secondary one has
    ``primary_nameservers``. Without ``ttl``: the file's, else 3600 seconds.
    """

    name: ZoneName
    mode: Mode
    ttl: Ttl | None = None
    labels: Labels = Field(default_factory=dict)
    primary_nameservers: Annotated[list[PrimaryNameserverBody], Field(max_length=10)] = Field(default_factory=list)
    rrsets: list[CreateRRSet] = Field(default_factory=list)
    zonefile: Text | None = None


class ChangeZoneTtl(Wire, json_schema_extra=example(ttl=86400)):
    ttl: Ttl


class ImportZonefile(Wire, json_schema_extra=example(zonefile=ZONEFILE)):
    zonefile: Text


class ChangePrimaryNameservers(
    Wire, json_schema_extra=example(primary_nameservers=[{"address": "203.0.113.1", "port": 53}])
):
    primary_nameservers: Primaries


class PrimaryNameserverWire(TypedDict):
    """The key is told: clients compare it with what they have."""

    address: str
    port: int
    tsig_algorithm: TsigAlgorithm | None
    tsig_key: str | None


class AuthoritativeNameserversWire(TypedDict):
    """``assigned``: which are to answer for the zone. Whether its parent delegates to them is not looked up."""

    assigned: list[str]
    delegated: list[str]
    delegation_last_check: str | None
    delegation_status: Literal["valid", "partially-valid", "invalid", "lame", "unregistered", "unknown"]


class ZoneWire(TypedDict):
    id: int
    name: str
    created: str
    mode: Mode
    ttl: int
    labels: dict[str, str]
    protection: ProtectionWire
    status: Literal["ok", "updating", "error"]
    record_count: int
    registrar: Literal["hetzner", "other", "unknown"]
    authoritative_nameservers: AuthoritativeNameserversWire
    primary_nameservers: list[PrimaryNameserverWire]


class ZoneAnswer(TypedDict):
    zone: ZoneWire


class CreatedZone(TypedDict):
    zone: ZoneWire
    action: ActionWire


class ZonesAnswer(TypedDict):
    zones: list[ZoneWire]
    meta: Meta


class ZonefileAnswer(TypedDict):
    zonefile: str


def zone_wire(zone: Zone) -> ZoneWire:
    return {
        "id": zone.id,
        "name": zone.name,
        "created": timestamp(zone.created),
        "mode": zone.mode,
        "ttl": zone.ttl,
        "labels": zone.labels,
        "protection": {"delete": zone.protected},
        "status": "ok",
        "record_count": zone.record_count,
        "registrar": "other",
        "authoritative_nameservers": {
            "assigned": zone.name_servers,
            "delegated": [],
            "delegation_last_check": None,
            "delegation_status": "unknown",
        },
        "primary_nameservers": [
            {
                "address": one.address,
                "port": one.port,
                "tsig_algorithm": one.tsig_algorithm,
                "tsig_key": one.tsig_key,
            }
            for one in zone.primary_nameservers
        ],
    }
