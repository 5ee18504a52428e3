"""Load balancers on the wire. The health of a target is what the edge that serves it said last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from typing_extensions import TypedDict

from api.pagination import Meta
from api.references import with_id
from api.schemas.actions import ActionWire
from api.schemas.fields import ProtectionWire
from api.schemas.load_balancer_types import LoadBalancerTypeWire, load_balancer_type_wire
from api.schemas.locations import LocationWire, location_wire
from api.schemas.times import timestamp
from infra.db.edge_plans import Resolved
from infra.db.load_balancer_health import HealthOf
from infra.db.load_balancer_types import LoadBalancerType
from infra.db.load_balancers import LoadBalancer, Target
from infra.db.locations import Location
from infra.domain.dns_ptr import default_ptr
from infra.domain.edge_plan import HealthStatus
from infra.domain.load_balancers import Algorithm, HealthCheck, Service, ServiceProtocol, TargetType


class PublicAddressWire(TypedDict):
    """``dns_ptr``: its name; null where there is none. An IPv6 one has none until it is given one."""

    ip: str
    dns_ptr: str | None


class BalancerPublicNetWire(TypedDict):
    """It keeps its addresses while the public interface is off."""

    enabled: bool
    ipv4: PublicAddressWire
    ipv6: PublicAddressWire


class BalancerPrivateNetWire(TypedDict):
    network: int
    ip: str


class AlgorithmWire(TypedDict):
    type: Algorithm


class HealthCheckHttpWire(TypedDict):
    domain: str | None
    path: str
    response: str | None
    status_codes: list[str]
    tls: bool


class HealthCheckWire(TypedDict):
    """``interval``, ``timeout`` in seconds. ``http``: null for tcp."""

    protocol: ServiceProtocol
    port: int
    interval: int
    timeout: int
    retries: int
    http: HealthCheckHttpWire | None


class ServiceHttpWire(TypedDict):
    """``cookie_lifetime``, ``timeout_idle`` in seconds."""

    cookie_name: str
    cookie_lifetime: int
    timeout_idle: int
    certificates: list[int]
    redirect_http: bool
    sticky_sessions: bool


class ServiceWire(TypedDict):
    """``http``: null for tcp."""

    protocol: ServiceProtocol
    listen_port: int
    destination_port: int
    proxyprotocol: bool
    http: ServiceHttpWire | None
    health_check: HealthCheckWire


class TargetServerWire(TypedDict):
    id: int


class TargetSelectorWire(TypedDict):
    selector: str


class TargetIpWire(TypedDict):
    ip: str


class HealthStatusWire(TypedDict):
    """Of one service: ``unknown`` until it was checked, and while no edge serves it."""

    listen_port: int
    status: HealthStatus


class SelectedTargetWire(TypedDict):
    """A server that a label selector means now."""

    type: Literal["server"]
    server: TargetServerWire
    health_status: list[HealthStatusWire]
    use_private_ip: bool


class TargetWire(TypedDict):
    """One of ``server``, ``label_selector`` and ``ip``, as the type says; ``targets``: of a label selector.

    ``use_private_ip``: reached in the load balancer's network; of an ip it is always false.
    """

    type: TargetType
    server: TargetServerWire | None
    label_selector: TargetSelectorWire | None
    ip: TargetIpWire | None
    use_private_ip: bool
    health_status: list[HealthStatusWire]
    targets: list[SelectedTargetWire]


class LoadBalancerWire(TypedDict):
    """``included_traffic`` in bytes a month; what has passed is not counted yet."""

    id: int
    name: str
    public_net: BalancerPublicNetWire
    private_net: list[BalancerPrivateNetWire]
    location: LocationWire
    load_balancer_type: LoadBalancerTypeWire
    protection: ProtectionWire
    labels: dict[str, str]
    created: str
    services: list[ServiceWire]
    targets: list[TargetWire]
    algorithm: AlgorithmWire
    outgoing_traffic: int | None
    ingoing_traffic: int | None
    included_traffic: int


class LoadBalancerAnswer(TypedDict):
    load_balancer: LoadBalancerWire


class CreatedLoadBalancer(TypedDict):
    load_balancer: LoadBalancerWire
    action: ActionWire


class LoadBalancersAnswer(TypedDict):
    load_balancers: list[LoadBalancerWire]
    meta: Meta


def load_balancer_wire(
    balancer: LoadBalancer,
    types: Sequence[LoadBalancerType],
    places: Sequence[Location],
    resolved: Sequence[Resolved],
    health: HealthOf,
) -> LoadBalancerWire:
    """``types``, ``places``: the whole catalogue. ``resolved``: whom the targets mean now."""
    location = with_id(balancer.location.id, places) or balancer.location
    kind = with_id(balancer.type.id, types) or balancer.type
    four, six, names = balancer.ipv4, balancer.ipv6, balancer.dns_ptr
    return {
        "id": balancer.id,
        "name": balancer.name,
        "public_net": {
            "enabled": balancer.public_enabled,
            "ipv4": {"ip": four, "dns_ptr": names.get(four) or default_ptr(four, location.ptr_template)},
            "ipv6": {"ip": six, "dns_ptr": names.get(six)},
        },
        "private_net": [{"network": one.network_id, "ip": one.ip} for one in (balancer.member,) if one],
        "location": location_wire(location),
        "load_balancer_type": load_balancer_type_wire(kind, places),
        "protection": {"delete": balancer.protected},
        "labels": balancer.labels,
        "created": timestamp(balancer.created),
        "services": [_service(service) for service in balancer.services],
        "targets": [
            _target(target, [_reached(balancer, one, health) for one in resolved if one.target == target])
            for target in balancer.targets
        ],
        "algorithm": {"type": balancer.algorithm},
        "outgoing_traffic": None,
        "ingoing_traffic": None,
        "included_traffic": kind.terms.price_at(location.id).included_traffic,
    }


def _service(service: Service) -> ServiceWire:
    http = service.http
    return {
        "protocol": service.protocol,
        "listen_port": service.listen_port,
        "destination_port": service.destination_port,
        "proxyprotocol": service.proxyprotocol,
        "http": {
            "cookie_name": http.cookie_name,
            "cookie_lifetime": http.cookie_lifetime,
            "timeout_idle": http.timeout_idle,
            "certificates": list(http.certificates),
            "redirect_http": http.redirect_http,
            "sticky_sessions": http.sticky_sessions,
        }
        if http
        else None,
        "health_check": _health_check(service.health_check),
    }


def _health_check(check: HealthCheck) -> HealthCheckWire:
    http = check.http
    return {
        "protocol": check.protocol,
        "port": check.port,
        "interval": check.interval,
        "timeout": check.timeout,
        "retries": check.retries,
        "http": {
            "domain": http.domain,
            "path": http.path,
            "response": http.response,
            "status_codes": list(http.status_codes),
            "tls": http.tls,
        }
        if http
        else None,
    }


@dataclass(frozen=True, slots=True)
class _Reached:
    """One whom a target means, and how it does for each service."""

    server_id: int | None
    health: list[HealthStatusWire]


def _reached(balancer: LoadBalancer, one: Resolved, health: HealthOf) -> _Reached:
    def status(port: int) -> HealthStatus:
        if one.is_beyond:
            return "unhealthy"
        return health.get((balancer.id, port, one.backend), "unknown") if one.backend else "unknown"

    ports = [service.listen_port for service in balancer.services]
    return _Reached(one.server_id, [{"listen_port": port, "status": status(port)} for port in ports])


def _target(target: Target, reached: Sequence[_Reached]) -> TargetWire:
    """Health is of what is reached: a selector's is that of the servers it means."""
    private = target.by_network and target.ip is None
    return {
        "type": target.type,
        "server": {"id": target.server_id} if target.server_id is not None else None,
        "label_selector": {"selector": target.selector} if target.selector is not None else None,
        "ip": {"ip": target.ip} if target.ip is not None else None,
        "use_private_ip": private,
        "health_status": [] if target.selector else reached[0].health,
        "targets": [
            {
                "type": "server",
                "server": {"id": one.server_id},
                "health_status": one.health,
                "use_private_ip": private,
            }
            for one in reached
            if target.selector and one.server_id is not None
        ],
    }
