"""Load balancer types on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import TypedDict

from api.documented import shown
from api.pagination import Meta
from api.schemas.money import DeprecationWire, PriceWire, deprecation_wire, price_wires
from infra.db.load_balancer_types import LoadBalancerType
from infra.db.locations import Location


@shown(
    id=1,
    name="lb11",
    description="Up to 25 targets",
    max_connections=10000,
    max_services=5,
    max_targets=25,
    max_assigned_certificates=0,
    deprecated=None,
    deprecation=None,
    prices=[],
)
class LoadBalancerTypeWire(TypedDict):
    """``deprecated``: when it can no longer be ordered."""

    id: int
    name: str
    description: str
    max_connections: int
    max_services: int
    max_targets: int
    max_assigned_certificates: int
    deprecated: str | None
    deprecation: DeprecationWire | None
    prices: list[PriceWire]


class LoadBalancerTypeAnswer(TypedDict):
    load_balancer_type: LoadBalancerTypeWire


class LoadBalancerTypesAnswer(TypedDict):
    load_balancer_types: list[LoadBalancerTypeWire]
    meta: Meta


def load_balancer_type_wire(kind: LoadBalancerType, places: Sequence[Location]) -> LoadBalancerTypeWire:
    deprecation = deprecation_wire(kind.terms.deprecation)
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "max_connections": kind.max_connections,
        "max_services": kind.max_services,
        "max_targets": kind.max_targets,
        "max_assigned_certificates": kind.max_assigned_certificates,
        "deprecated": deprecation["unavailable_after"] if deprecation else None,
        "deprecation": deprecation,
        "prices": price_wires(kind.terms, places),
    }
