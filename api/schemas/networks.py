"""Networks on the wire."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from typing_extensions import TypedDict

from api.documented import example, shown
from api.pagination import Meta
from api.schemas.fields import Id, Labels, Name, ProtectionWire, UpdateNamed, Wire
from api.schemas.times import timestamp
from infra.db.network_members import Member
from infra.db.networks import Network
from infra.domain.networks import MOST_ROUTES, MOST_SUBNETS, Route, gateway_of, range_problem


def _network(value: Any) -> Any:
    if isinstance(value, IPv4Network):
        return value
    try:
        return IPv4Network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be an IPv4 range such as 10.0.0.0/16, without host bits") from None


def _address(value: Any) -> Any:
    if isinstance(value, IPv4Address):
        return value
    try:
        return IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be an IPv4 address") from None


def _private(ip_range: IPv4Network) -> IPv4Network:
    if problem := range_problem(ip_range):
        raise ValueError(problem)
    return ip_range


Range = Annotated[IPv4Network, BeforeValidator(_network)]
Ip = Annotated[IPv4Address, BeforeValidator(_address)]
PrivateRange = Annotated[Range, AfterValidator(_private)]
SubnetKind = Literal["cloud", "server", "vswitch"]


class NewSubnet(Wire, json_schema_extra=example(type="cloud", network_zone="eu-central", ip_range="10.0.1.0/24")):
    """Without ``ip_range``: the first /24 of the network that is free."""

    type: SubnetKind
    network_zone: Name
    ip_range: Range | None = None
    vswitch_id: int | None = None


class RouteBody(Wire, json_schema_extra=example(destination="10.100.1.0/24", gateway="10.0.1.5")):
    destination: Range
    gateway: Ip

    @property
    def route(self) -> Route:
        return Route(self.destination, self.gateway)


class CreateNetwork(Wire, json_schema_extra=example(name="inside", ip_range="10.0.0.0/16")):
    name: Name
    ip_range: PrivateRange
    labels: Labels = Field(default_factory=dict)
    subnets: list[NewSubnet] = Field(default_factory=list, max_length=MOST_SUBNETS)
    routes: list[RouteBody] = Field(default_factory=list, max_length=MOST_ROUTES)
    expose_routes_to_vswitch: bool = False


class UpdateNetwork(UpdateNamed):
    expose_routes_to_vswitch: bool | None = None


class SubnetName(Wire, json_schema_extra=example(ip_range="10.0.1.0/24")):
    ip_range: Range


class ChangeIpRange(Wire, json_schema_extra=example(ip_range="10.0.0.0/12")):
    ip_range: Range


class AttachToNetwork(Wire, json_schema_extra=example(network=4711, ip="10.0.1.2")):
    """Without ``ip``: the first free address of ``ip_range``, a subnet, or of any of the network's."""

    network: Id
    ip: Ip | None = None
    ip_range: Range | None = None
    alias_ips: list[Ip] = Field(default_factory=list, max_length=50)


class DetachFromNetwork(Wire, json_schema_extra=example(network=4711)):
    network: Id


class ChangeAliasIps(Wire, json_schema_extra=example(network=4711, alias_ips=["10.0.1.7"])):
    network: Id
    alias_ips: list[Ip] = Field(max_length=50)


class SubnetWire(TypedDict):
    """``gateway``: the first address of the network, in each of its subnets."""

    type: SubnetKind
    ip_range: str
    network_zone: str
    gateway: str
    vswitch_id: int | None


class RouteWire(TypedDict):
    destination: str
    gateway: str


@shown(
    id=4711,
    name="inside",
    ip_range="10.0.0.0/16",
    subnets=[
        {
            "type": "cloud",
            "ip_range": "10.0.1.0/24",
            "network_zone": "eu-central",
            "gateway": "10.0.0.1",
            "vswitch_id": None,
        }
    ],
    routes=[{"destination": "10.100.1.0/24", "gateway": "10.0.1.5"}],
    servers=[42],
    load_balancers=[],
    protection={"delete": False},
    labels={},
    created="2026-01-30T23:50:00+00:00",
    expose_routes_to_vswitch=False,
)
class NetworkWire(TypedDict):
    """``servers``, ``load_balancers``: the ids of those that are in it."""

    id: int
    name: str
    ip_range: str
    subnets: list[SubnetWire]
    routes: list[RouteWire]
    servers: list[int]
    load_balancers: list[int]
    protection: ProtectionWire
    labels: dict[str, str]
    created: str
    expose_routes_to_vswitch: bool


class NetworkAnswer(TypedDict):
    network: NetworkWire


class NetworksAnswer(TypedDict):
    networks: list[NetworkWire]
    meta: Meta


class PrivateNetWire(TypedDict):
    """A server in a network."""

    network: int
    ip: str
    alias_ips: list[str]
    mac_address: str


def network_wire(network: Network) -> NetworkWire:
    gateway = str(gateway_of(network.ip_range))
    return {
        "id": network.id,
        "name": network.name,
        "ip_range": str(network.ip_range),
        "subnets": [
            {
                "type": subnet.type,
                "ip_range": str(subnet.ip_range),
                "network_zone": subnet.network_zone,
                "gateway": gateway,
                "vswitch_id": None,
            }
            for subnet in network.subnets
        ],
        "routes": [{"destination": str(one.destination), "gateway": str(one.gateway)} for one in network.routes],
        "servers": network.servers,
        "load_balancers": network.load_balancers,
        "protection": {"delete": network.protected},
        "labels": network.labels,
        "created": timestamp(network.created),
        "expose_routes_to_vswitch": network.vswitch_routes,
    }


def private_net_wire(member: Member) -> PrivateNetWire:
    return {
        "network": member.network_id,
        "ip": member.ip,
        "alias_ips": member.aliases,
        "mac_address": member.mac_address,
    }
