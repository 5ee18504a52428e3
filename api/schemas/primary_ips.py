"""Primary IPs on the wire: an IPv6 one is a network (/64)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from api.documented import example
from api.pagination import Meta
from api.references import with_id
from api.schemas.actions import ActionWire
from api.schemas.datacenters import DatacenterWire, datacenter_of
from api.schemas.dns_ptr import DnsPtrWire
from api.schemas.fields import Id, IdOrName, Labels, Name, ProtectionWire, UpdateNamed, Wire
from api.schemas.locations import LocationWire, location_wire
from api.schemas.times import timestamp
from infra.db.locations import Location
from infra.db.primary_ips import PrimaryIp
from infra.db.server_types import ServerType
from infra.domain.dns_ptr import default_ptr


class CreatePrimaryIp(Wire, json_schema_extra=example(name="front", type="ipv4", location="fsn1")):
    """Where: at its assignee's, or in ``location``; unless one is given, in the default location."""

    name: Name
    type: Literal["ipv4", "ipv6"]
    assignee_type: Literal["server"] = "server"
    assignee_id: Id | None = None
    location: IdOrName | None = None
    datacenter: IdOrName | None = None
    auto_delete: bool = False
    labels: Labels = Field(default_factory=dict)


class UpdatePrimaryIp(UpdateNamed):
    auto_delete: bool | None = None


class AssignPrimaryIp(Wire, json_schema_extra=example(assignee_id=42, assignee_type="server")):
    assignee_id: Id
    assignee_type: Literal["server"]


class PrimaryIpWire(TypedDict):
    """``assignee_id``: null while it is not assigned; ``assignee_type`` is always "server"."""

    id: int
    name: str
    type: Literal["ipv4", "ipv6"]
    ip: str
    assignee_id: int | None
    assignee_type: Literal["server"]
    auto_delete: bool
    blocked: bool
    datacenter: DatacenterWire | None
    location: LocationWire
    dns_ptr: list[DnsPtrWire]
    labels: dict[str, str]
    protection: ProtectionWire
    created: str


class PrimaryIpAnswer(TypedDict):
    primary_ip: PrimaryIpWire


class CreatedPrimaryIp(TypedDict):
    """``action``: null when it was not assigned."""

    primary_ip: PrimaryIpWire
    action: ActionWire | None


class PrimaryIpsAnswer(TypedDict):
    primary_ips: list[PrimaryIpWire]
    meta: Meta


def primary_ip_wire(found: PrimaryIp, types: list[ServerType], places: list[Location]) -> PrimaryIpWire:
    """``types``, ``places``: the whole catalogue, of which a datacenter tells."""
    location = with_id(found.location.id, places) or found.location
    return {
        "id": found.id,
        "name": found.name,
        "type": found.type,
        "ip": found.address,
        "assignee_id": found.server_id,
        "assignee_type": "server",
        "auto_delete": found.auto_delete,
        "blocked": False,
        "datacenter": datacenter_of(location, types),
        "location": location_wire(location),
        "dns_ptr": ptrs(found.address, found.dns_ptr, location.ptr_template),
        "labels": found.labels,
        "protection": {"delete": found.protected},
        "created": timestamp(found.created),
    }


def ptrs(address: str, names: dict[str, str], template: str) -> list[DnsPtrWire]:
    """An IPv4 address always has a name, an IPv6 network those that were set."""
    if "/" in address:
        return [{"ip": ip, "dns_ptr": name} for ip, name in sorted(names.items())]
    return [{"ip": address, "dns_ptr": names.get(address) or default_ptr(address, template)}]
