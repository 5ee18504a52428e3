"""Servers on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import TypedDict

from api.documented import example
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.datacenters import DatacenterWire, datacenter_of
from api.schemas.dns_ptr import DnsPtrWire
from api.schemas.fields import ChangeProtection, Hostname, Id, IdOrName, Labels, ProtectionWire, Text, Wire
from api.schemas.firewalls import ServerFirewall, server_firewall
from api.schemas.images import ImageWire, image_wire
from api.schemas.isos import IsoWire
from api.schemas.locations import LocationWire, location_wire
from api.schemas.networks import PrivateNetWire, private_net_wire
from api.schemas.placement_groups import PlacementGroupWire, placement_group_wire
from api.schemas.primary_ips import ptrs
from api.schemas.server_types import ServerTypeWire, server_type_wire
from api.schemas.times import timestamp
from infra.db.locations import Location
from infra.db.server_types import ServerType
from infra.db.servers import Server, ServerStatus
from infra.domain.dns_ptr import default_ptr
from infra.domain.firewalls import MOST_ON_A_SERVER
from infra.domain.networks import MOST_NETWORKS

USER_DATA_BYTES = 32 * 1024


def _fits(user_data: str) -> str:
    if len(user_data.encode()) > USER_DATA_BYTES:
        raise ValueError(f"must have at most {USER_DATA_BYTES} bytes")
    return user_data


def _none_yet(ids: list[Any]) -> list[Any]:
    if ids:
        raise ValueError("there is none with that id")
    return ids


NoneYet = Annotated[list[Any], AfterValidator(_none_yet)]


class PublicNet(Wire):
    """``ipv4``, ``ipv6``: ids of primary IPs; without them the server gets addresses that go with it."""

    enable_ipv4: bool = True
    enable_ipv6: bool = True
    ipv4: Id | None = None
    ipv6: Id | None = None


class FirewallReference(Wire):
    firewall: Id


class CreateServer(
    Wire,
    json_schema_extra=example(
        name="web-1", server_type="px1", image="tiny", ssh_keys=["laptop"], labels={"env": "prod"}
    ),
):
    """POST /servers. Without ``ssh_keys`` and ``user_data`` a server gets every SSH key of its project; without
    ``networks`` it joins the project's default network, with an empty list none."""

    name: Hostname
    server_type: IdOrName
    image: IdOrName
    location: IdOrName | None = None
    datacenter: IdOrName | None = None
    start_after_create: bool = True
    ssh_keys: list[IdOrName] = Field(default_factory=list, max_length=100)
    user_data: Annotated[Text, AfterValidator(_fits)] = ""
    labels: Labels = Field(default_factory=dict)
    automount: bool = False
    public_net: PublicNet = PublicNet()
    volumes: NoneYet = Field(default_factory=list)
    networks: Annotated[list[Id], Field(max_length=MOST_NETWORKS)] | None = None
    firewalls: list[FirewallReference] = Field(default_factory=list, max_length=MOST_ON_A_SERVER)
    placement_group: Id | None = None


class UpdateServer(Wire, json_schema_extra=example(name="web-2", labels={"env": "test"})):
    """PUT /servers/{id}. What is not sent stays; labels replace the whole map."""

    name: Hostname | None = None
    labels: Labels | None = None


class ChangeServerProtection(ChangeProtection, json_schema_extra=example(delete=True, rebuild=True)):
    """Both or neither: a server that may not be deleted may not be rebuilt."""

    rebuild: bool | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if self.delete != self.rebuild:
            raise ValueError("delete and rebuild must be the same")
        return self


class AddToPlacementGroup(Wire, json_schema_extra=example(placement_group=7)):
    placement_group: Id


class PublicIpv4Wire(TypedDict):
    """Of the primary IP ``id``."""

    id: int
    ip: str
    blocked: bool
    dns_ptr: str


class PublicIpv6Wire(TypedDict):
    """``ip``: a network (/64), of which the server takes the first address; ``dns_ptr``: the names that were set."""

    id: int
    ip: str
    blocked: bool
    dns_ptr: list[DnsPtrWire]


class PublicNetWire(TypedDict):
    ipv4: PublicIpv4Wire | None
    ipv6: PublicIpv6Wire | None
    floating_ips: list[int]
    firewalls: list[ServerFirewall]


class ServerProtectionWire(ProtectionWire):
    rebuild: bool


class ServerWire(TypedDict):
    """``primary_disk_size`` in GB. ``included_traffic`` in bytes; traffic is not counted. ``host_key``: Puchify's own:
    what the server's SSH shows, as its agent vouches for it; null until it was seen."""

    id: int
    name: str
    status: ServerStatus
    created: str
    public_net: PublicNetWire
    private_net: list[PrivateNetWire]
    server_type: ServerTypeWire
    location: LocationWire
    datacenter: DatacenterWire | None
    image: ImageWire | None
    iso: IsoWire | None
    rescue_enabled: bool
    locked: bool
    backup_window: str | None
    outgoing_traffic: int | None
    ingoing_traffic: int | None
    included_traffic: int | None
    protection: ServerProtectionWire
    labels: dict[str, str]
    volumes: list[int]
    load_balancers: list[int]
    primary_disk_size: int
    placement_group: PlacementGroupWire | None
    host_key: str | None


class ServerAnswer(TypedDict):
    server: ServerWire


class ServersAnswer(TypedDict):
    servers: list[ServerWire]
    meta: Meta


class CreatedServer(TypedDict):
    """``next_actions``: what goes on after ``action``. ``root_password``: null, since guests take no passwords."""

    server: ServerWire
    action: ActionWire
    next_actions: list[ActionWire]
    root_password: str | None


class Catalogue:
    """Server types and locations as servers show them: each is told once, however many servers are of it."""

    def __init__(self, types: Sequence[ServerType], places: Sequence[Location]) -> None:
        self.types = {one.id: one for one in types}
        self.places = {one.id: one for one in places}
        self.type_wire = cache(lambda id: server_type_wire(self.types[id], places))
        self.location_wire = cache(lambda id: location_wire(self.places[id]))
        self.datacenter_wire = cache(lambda id: datacenter_of(self.places[id], types))


def server_wire(server: Server, catalogue: Catalogue, load_balancers: Sequence[int]) -> ServerWire:
    """All keys of the wire, always. ``load_balancers``: those that send to it."""
    terms = catalogue.types[server.server_type.id].terms
    location = catalogue.places[server.location.id]
    return {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "created": timestamp(server.created),
        "public_net": _public_net(server, location.ptr_template),
        "private_net": [private_net_wire(member) for member in server.private_net],
        "server_type": catalogue.type_wire(server.server_type.id),
        "location": catalogue.location_wire(location.id),
        "datacenter": catalogue.datacenter_wire(location.id),
        "image": image_wire(server.image),
        "iso": None,
        "rescue_enabled": False,
        "locked": server.locked,
        "backup_window": None,
        "outgoing_traffic": None,
        "ingoing_traffic": None,
        "included_traffic": terms.price_at(location.id).included_traffic,
        "protection": {"delete": server.protected, "rebuild": server.protected},
        "labels": server.labels,
        "volumes": [],
        "load_balancers": list(load_balancers),
        "primary_disk_size": server.server_type.disk_gib,
        "placement_group": placement_group_wire(server.placement_group) if server.placement_group else None,
        "host_key": server.host_key,
    }


def _public_net(server: Server, ptr_template: str) -> PublicNetWire:
    four, six = server.ipv4, server.ipv6
    return {
        "ipv4": {
            "id": four.id,
            "ip": four.address,
            "blocked": False,
            "dns_ptr": four.dns_ptr.get(four.address) or default_ptr(four.address, ptr_template),
        }
        if four
        else None,
        "ipv6": {
            "id": six.id,
            "ip": six.address,
            "blocked": False,
            "dns_ptr": ptrs(six.address, six.dns_ptr, ptr_template),
        }
        if six
        else None,
        "floating_ips": [],
        "firewalls": [server_firewall(id, id in server.enforced) for id in server.firewalls],
    }
