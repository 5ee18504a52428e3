"""Load balancers: what a service is when little is said of it, which ones can be side by side, and what a type takes.

A request says only what it wants; the rest is what it was, or else the default. ``None`` counts as not said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from typing import Any, Literal, Protocol, TypeVar

from infra.domain.errors import Problems

ServiceProtocol = Literal["tcp", "http", "https"]
Algorithm = Literal["round_robin", "least_connections"]
TargetType = Literal["server", "label_selector", "ip"]

LISTEN_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
"""Where a service listens that does not say; one of plain TCP has to."""
DESTINATION_PORT = 80
REDIRECTED_PORT = 80
"""Where a https service listens as well when it redirects from http."""

T = TypeVar("T")
Sent = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """What is asked for, and what has to come back: a status code that is like one of ``status_codes``."""

    domain: str | None = None
    path: str = "/"
    response: str | None = None
    status_codes: tuple[str, ...] = ("2??", "3??")
    tls: bool = False


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """``interval``, ``timeout`` in seconds. ``http``: unless the protocol is tcp."""

    protocol: ServiceProtocol
    port: int
    interval: int = 15
    timeout: int = 10
    retries: int = 3
    http: HttpCheck | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """``cookie_lifetime``, ``timeout_idle`` in seconds."""

    cookie_name: str = "HCLBSTICKY"
    cookie_lifetime: int = 300
    timeout_idle: int = 50
    certificates: tuple[int, ...] = ()
    redirect_http: bool = False
    sticky_sessions: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """``http``: unless the protocol is tcp."""

    protocol: ServiceProtocol
    listen_port: int
    destination_port: int
    proxyprotocol: bool
    http: Http | None
    health_check: HealthCheck

    @property
    def ports(self) -> frozenset[int]:
        """All that it listens on."""
        redirects = self.http is not None and self.http.redirect_http
        return frozenset({self.listen_port, REDIRECTED_PORT} if redirects else {self.listen_port})

    @property
    def certificates(self) -> tuple[int, ...]:
        return self.http.certificates if self.http else ()


def new_service(sent: Sent) -> Service:
    """``sent`` names the protocol, and a port to listen on where there is no default."""
    protocol: ServiceProtocol = sent["protocol"]
    port = sent.get("destination_port") or DESTINATION_PORT
    listen_port = sent.get("listen_port") or LISTEN_PORTS[protocol]
    # A https service ends TLS itself: its targets are asked without.
    check = HealthCheck("tcp" if protocol == "tcp" else "http", port)
    return changed_service(Service(protocol, listen_port, port, False, None, check), sent)


def changed_service(service: Service, sent: Sent) -> Service:
    """What is not sent stays; blocks that the protocols have no use for are passed over."""
    own = ("protocol", "destination_port", "proxyprotocol")
    now = _over(service, {name: sent.get(name) for name in own})
    http = None if now.protocol == "tcp" else _over(now.http or Http(), sent.get("http") or {})
    return replace(now, http=http, health_check=_changed_check(now.health_check, sent.get("health_check") or {}))


def _changed_check(check: HealthCheck, sent: Sent) -> HealthCheck:
    now = _over(check, {name: value for name, value in sent.items() if name != "http"})
    http = None if now.protocol == "tcp" else _over(now.http or HttpCheck(), sent.get("http") or {})
    return replace(now, http=http)


def _over(known: T, sent: Sent) -> T:
    said = {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}
    return replace(known, **{name: value for name, value in said.items() if value is not None})  # type: ignore[type-var]


def sent_problems(sent: Sent) -> Problems:
    """What keeps a new service from being made of it: (field, problem)."""
    if sent["protocol"] not in LISTEN_PORTS and not sent.get("listen_port"):
        return [("listen_port", f"is required for protocol {sent['protocol']}")]
    return []


def service_problems(service: Service, known_certificates: Iterable[int] = ()) -> Problems:
    """What keeps it from being kept: (field, problem)."""
    if service.http is None:
        return []
    problems: Problems = []
    certificates, known = service.http.certificates, set(known_certificates)
    if service.protocol == "https" and not certificates:
        problems.append(("http.certificates", "is required for protocol https"))
    problems += [("http.certificates", f"certificate {id} does not exist") for id in certificates if id not in known]
    if service.protocol != "https" and service.http.redirect_http:
        problems.append(("http.redirect_http", "is for protocol https only"))
    return problems


def clashing_port(services: Iterable[Service], service: Service) -> int | None:
    """A port that one of the others listens on already."""
    taken = {port for one in services for port in one.ports}
    return next(iter(sorted(taken & service.ports)), None)


class Limits(Protocol):
    """Of a load balancer type."""

    @property
    def max_services(self) -> int: ...
    @property
    def max_targets(self) -> int: ...
    @property
    def max_assigned_certificates(self) -> int: ...


def exceeded(limits: Limits, services: Sequence[Service], targets: int) -> str | None:
    """The first of a type's limits that so much would exceed. ``targets``: as they are defined; a selector is one."""
    certificates = {id for service in services for id in service.certificates}
    asked = {
        "max_services": (len(services), limits.max_services),
        "max_targets": (targets, limits.max_targets),
        "max_assigned_certificates": (len(certificates), limits.max_assigned_certificates),
    }
    return next((name for name, (count, most) in asked.items() if count > most), None)


def bare_ipv6(network: str) -> str:
    """The address that a load balancer has of its /64: the first after the network's own."""
    return str(IPv6Network(network)[1])
