"""Server types on the wire: memory and disk in GB as numbers, prices and availability at each location."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import TypedDict

from api.documented import shown
from api.pagination import Meta
from api.schemas.datacenters import available_at
from api.schemas.money import DeprecationWire, PriceWire, deprecation_wire, price_wires
from infra.db.locations import Location
from infra.db.server_types import ServerType


class TypeLocationWire(TypedDict):
    """``available``: it can be ordered there, and a host there takes such servers."""

    id: int
    name: str
    deprecation: DeprecationWire | None
    available: bool
    recommended: bool


@shown(
    id=1,
    name="px1",
    description="1 vCPU, 256 MiB memory, 2 GiB disk",
    cores=1,
    memory=0.25,
    disk=2,
    deprecated=False,
    deprecation=None,
    prices=[],
    storage_type="local",
    cpu_type="shared",
    category="Shared vCPU",
    architecture="x86",
    included_traffic=0,
    locations=[{"id": 1, "name": "fsn1", "deprecation": None, "available": True, "recommended": False}],
)
class ServerTypeWire(TypedDict):
    """``deprecated`` and ``deprecation`` speak of all locations; ``locations`` of each. ``included_traffic`` is 0: it
    is told with the prices."""

    id: int
    name: str
    description: str
    cores: int
    memory: float
    disk: int
    deprecated: bool
    deprecation: DeprecationWire | None
    prices: list[PriceWire]
    storage_type: str
    cpu_type: str
    category: str
    architecture: str
    included_traffic: int
    locations: list[TypeLocationWire]


class ServerTypeAnswer(TypedDict):
    server_type: ServerTypeWire


class ServerTypesAnswer(TypedDict):
    server_types: list[ServerTypeWire]
    meta: Meta


def server_type_wire(server_type: ServerType, places: Sequence[Location]) -> ServerTypeWire:
    terms = server_type.terms
    return {
        "id": server_type.id,
        "name": server_type.name,
        "description": server_type.description,
        "cores": server_type.cores,
        "memory": server_type.memory_mib / 1024,
        "disk": server_type.disk_gib,
        "deprecated": terms.deprecation is not None,
        "deprecation": deprecation_wire(terms.deprecation),
        "prices": price_wires(terms, places),
        "storage_type": server_type.storage_type,
        "cpu_type": server_type.cpu_type,
        "category": server_type.category,
        "architecture": server_type.architecture,
        "included_traffic": 0,
        "locations": [_at(server_type, place) for place in places if terms.offered_at(place.id)],
    }


def _at(server_type: ServerType, place: Location) -> TypeLocationWire:
    return {
        "id": place.id,
        "name": place.name,
        "deprecation": deprecation_wire(server_type.terms.deprecation_at(place.id)),
        "available": available_at(server_type, place),
        "recommended": server_type.terms.recommended_at(place.id),
    }
