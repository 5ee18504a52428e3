"""Locations, server types and images on the wire: memory and disk in GB as numbers, money as decimal text."""

from __future__ import annotations

from typing import Any

from api.schemas.times import timestamp, timestamp_or_none
from infra.db.catalogue import CatalogueImage, Location, ServerType


def location_wire(location: Location) -> dict[str, Any]:
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


def datacenter_name(location: Location) -> str:
    """Datacenters are gone from the wire; older clients still read and send them. Ours are one a location."""
    return f"{location.name}-dc1"


def datacenter_wire(location: Location, types: list[ServerType]) -> dict[str, Any]:
    ids = [one.id for one in types]
    return {
        "id": location.id,
        "name": datacenter_name(location),
        "description": f"{location.description} DC 1",
        "location": location_wire(location),
        "server_types": {"supported": ids, "available": ids, "available_for_migration": ids},
    }


def server_type_wire(server_type: ServerType, places: list[Location]) -> dict[str, Any]:
    return {
        "id": server_type.id,
        "name": server_type.name,
        "description": server_type.description,
        "cores": server_type.cores,
        "memory": server_type.memory_mib / 1024,
        "disk": server_type.disk_gib,
        "deprecated": False,
        "deprecation": None,
        "prices": [_price(server_type, place) for place in places],
        "storage_type": "local",
        "cpu_type": server_type.cpu_type,
        "category": server_type.category,
        "architecture": server_type.architecture,
        "included_traffic": 0,
        "locations": [
            {
                "id": place.id,
                "name": place.name,
                "deprecation": None,
                "available": server_type.architecture in place.architectures,
                "recommended": False,
            }
            for place in places
        ],
    }


def _price(server_type: ServerType, place: Location) -> dict[str, Any]:
    return {
        "location": place.name,
        "price_hourly": _money(server_type.price_hourly),
        "price_monthly": _money(server_type.price_monthly),
        "included_traffic": 0,
        "price_per_tb_traffic": _money("0.0000"),
    }


def _money(amount: str) -> dict[str, str]:
    return {"net": amount, "gross": amount}


def image_wire(image: CatalogueImage) -> dict[str, Any]:
    return {
        "id": image.id,
        "type": image.type,
        "status": image.status,
        "name": image.name,
        "description": image.description,
        "image_size": None if image.type == "system" else image.disk_gib,
        "disk_size": image.disk_gib,
        "created": timestamp(image.created),
        "created_from": None,
        "bound_to": None,
        "os_flavor": image.os_flavor,
        "os_version": image.os_version,
        "rapid_deploy": image.type == "system",
        "protection": {"delete": False},
        "deprecated": timestamp_or_none(image.deprecated),
        "deleted": None,
        "labels": image.labels,
        "architecture": image.architecture,
    }
