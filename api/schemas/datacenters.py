"""Datacenters on the wire, which older clients still read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from typing_extensions import TypedDict

from api.pagination import Meta
from api.schemas.locations import LocationWire, location_wire
from infra.db.locations import Datacenter, Location
from infra.db.server_types import ServerType


class DatacenterTypes(TypedDict):
    """Ids of server types: offered there, to be ordered there now, and to change to there."""

    supported: list[int]
    available: list[int]
    available_for_migration: list[int]


class DatacenterWire(TypedDict):
    id: int
    name: str
    description: str
    location: LocationWire
    server_types: DatacenterTypes


class DatacenterAnswer(TypedDict):
    datacenter: DatacenterWire


class DatacentersAnswer(TypedDict):
    """``recommendation``: the id of one of them; 0 where there is none."""

    datacenters: list[DatacenterWire]
    recommendation: int
    meta: Meta


def datacenter_wire(datacenter: Datacenter, location: Location, types: Sequence[ServerType]) -> DatacenterWire:
    available = [one.id for one in types if available_at(one, location)]
    return {
        "id": datacenter.id,
        "name": datacenter.name,
        "description": datacenter.description,
        "location": location_wire(location),
        "server_types": {
            "supported": [one.id for one in types if one.terms.offered_at(location.id)],
            "available": available,
            "available_for_migration": available,
        },
    }


def datacenter_of(location: Location, types: Sequence[ServerType]) -> DatacenterWire | None:
    """The one that stands for a location."""
    first = next(iter(location.datacenters), None)
    return datacenter_wire(first, location, types) if first else None


def available_at(server_type: ServerType, location: Location) -> bool:
    """Whether it can be ordered there, and a host there takes such servers; not whether there is room now."""
    orderable = server_type.terms.orderable_at(location.id, datetime.now(UTC))
    return orderable and server_type.architecture in location.architectures
