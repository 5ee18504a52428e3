"""Locations on the wire."""

from __future__ import annotations

from typing_extensions import TypedDict

from api.documented import shown
from api.pagination import Meta
from infra.db.locations import Location


@shown(
    id=1,
    name="fsn1",
    description="Falkenstein",
    country="DE",
    city="Falkenstein",
    latitude=50.48,
    longitude=12.37,
    network_zone="eu-central",
)
class LocationWire(TypedDict):
    """``country``: ISO 3166-1 alpha-2, or empty. ``network_zone``: where networks reach from one to another."""

    id: int
    name: str
    description: str
    country: str
    city: str
    latitude: float
    longitude: float
    network_zone: str


class LocationAnswer(TypedDict):
    location: LocationWire


class LocationsAnswer(TypedDict):
    locations: list[LocationWire]
    meta: Meta


def location_wire(location: Location) -> LocationWire:
    return {
        "id": location.id,
        "name": location.name,
        "description": location.description,
        "country": location.country,
        "city": location.city,
        "latitude": location.latitude,
        "longitude": location.longitude,
        "network_zone": location.network_zone,
    }
