"""What is asked of load balancers. Of a service only what is sent is said; the rest is its default, or stays."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator

from api.documented import example
from api.schemas.fields import Id, IdOrName, Labels, Name, Text, Wire
from api.schemas.networks import Ip, Range
from infra.db.load_balancer_targets import Named
from infra.domain.errors import InvalidInput
from infra.domain.labels import LONGEST_SELECTOR, parse_selector
from infra.domain.load_balancers import Algorithm, Sent, ServiceProtocol

DOMAIN = re.compile(r"[A-Za-z0-9._:\[\]-]*", re.ASCII)
STATUS_CODES = re.compile(r"[0-9?*]{1,3}", re.ASCII)


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must begin with /")
    return value


def _domain(value: str) -> str:
    if not DOMAIN.fullmatch(value):
        raise ValueError("must be a host name such as www.example.com")
    return value


def _response(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must have printable characters only, in one line")
    return value


def _status_code(value: str) -> str:
    if not STATUS_CODES.fullmatch(value):
        raise ValueError("must be a status code such as 200, with ? or * for what does not matter")
    return value


def _selector(value: str) -> str:
    try:
        if not parse_selector(value):
            raise ValueError("must not be empty")
    except InvalidInput as wrong:
        raise ValueError("; ".join(wrong.reasons)) from None
    return value


def _any_address(value: Any) -> Any:
    try:
        return ip_address(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def _not_yet(_: Any) -> Any:
    raise ValueError("a load balancer has addresses of its own: primary IPs cannot be given")


BalancerName = Annotated[Name, StringConstraints(max_length=128)]
Port = Annotated[int, Field(ge=1, le=65535)]
Path = Annotated[Text, StringConstraints(max_length=1024), AfterValidator(_path)]
StatusCode = Annotated[str, AfterValidator(_status_code)]
Selector = Annotated[Text, StringConstraints(max_length=LONGEST_SELECTOR), AfterValidator(_selector)]
AnyAddress = Annotated[IPv4Address | IPv6Address, BeforeValidator(_any_address)]
CookieName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]


class HttpSettings(Wire):
    """For http and https; passed over for tcp. ``certificates``, ``redirect_http``: for https only."""

    cookie_name: CookieName | None = None
    cookie_lifetime: Annotated[int, Field(ge=30, le=86400)] | None = None
    timeout_idle: Annotated[int, Field(ge=30, le=300)] | None = None
    certificates: Annotated[list[Id], Field(max_length=100)] | None = None
    redirect_http: bool | None = None
    sticky_sessions: bool | None = None


class HealthCheckHttpSettings(Wire):
    """``status_codes``: with ``?`` for one digit and ``*`` for any."""

    domain: Annotated[str, StringConstraints(max_length=255), AfterValidator(_domain)] | None = None
    path: Path | None = None
    response: Annotated[Text, StringConstraints(max_length=1024), AfterValidator(_response)] | None = None
    status_codes: Annotated[list[StatusCode], Field(min_length=1, max_length=50)] | None = None
    tls: bool | None = None


class HealthCheckSettings(Wire):
    """Without a protocol: tcp for tcp, else http. Without a port: the destination's."""

    protocol: ServiceProtocol | None = None
    port: Port | None = None
    interval: Annotated[int, Field(ge=3, le=60)] | None = None
    timeout: Annotated[int, Field(ge=1, le=60)] | None = None
    retries: Annotated[int, Field(ge=1, le=5)] | None = None
    http: HealthCheckHttpSettings | None = None


class ServiceSettings(Wire):
    destination_port: Port | None = None
    proxyprotocol: bool | None = None
    http: HttpSettings | None = None
    health_check: HealthCheckSettings | None = None

    @property
    def sent(self) -> Sent:
        return self.model_dump(exclude_none=True)


class NewService(ServiceSettings, json_schema_extra=example(protocol="http", listen_port=80, destination_port=8080)):
    """Listens on 80 (http) or 443 (https) and sends to 80 unless it says otherwise; tcp has to say where it listens."""

    protocol: ServiceProtocol
    listen_port: Port | None = None


class ChangeService(ServiceSettings, json_schema_extra=example(listen_port=80, destination_port=8081)):
    """``listen_port``: which one."""

    listen_port: Port
    protocol: ServiceProtocol | None = None


class ServiceName(Wire, json_schema_extra=example(listen_port=80)):
    listen_port: Port


class TargetServer(Wire):
    id: Id


class TargetSelector(Wire):
    selector: Selector


class TargetIp(Wire):
    ip: AnyAddress


class TargetName(Wire, json_schema_extra=example(type="label_selector", label_selector={"selector": "role=web"})):
    """What its type says, and no other."""

    type: Literal["server", "label_selector", "ip"]
    server: TargetServer | None = Field(None, validate_default=True)
    label_selector: TargetSelector | None = Field(None, validate_default=True)
    ip: TargetIp | None = Field(None, validate_default=True)

    @field_validator("server", "label_selector", "ip")
    @classmethod
    def _of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.data.get("type") == info.field_name:
            raise ValueError(f"is required for type {info.field_name}")
        return value

    @property
    def named(self) -> Named:
        if self.type == "server" and self.server:
            return Named(server_id=self.server.id)
        if self.type == "label_selector" and self.label_selector:
            return Named(selector=self.label_selector.selector)
        return Named(ip=self.ip.ip if self.ip else None)


class NewTarget(TargetName, json_schema_extra=example(type="server", server={"id": 42}, use_private_ip=True)):
    """``use_private_ip``: reached in the load balancer's network; of an ip, the address itself says that."""

    use_private_ip: bool = False


class AlgorithmChoice(Wire, json_schema_extra=example(type="least_connections")):
    type: Algorithm


class PublicNetChoice(Wire):
    """Refused: a load balancer has addresses of its own."""

    ipv4: Annotated[Id, AfterValidator(_not_yet)] | None = None
    ipv6: Annotated[Id, AfterValidator(_not_yet)] | None = None


class CreateLoadBalancer(
    Wire, json_schema_extra=example(name="front", load_balancer_type="lb11", algorithm={"type": "round_robin"})
):
    """Where: in ``location``, or at one of ``network_zone``; unless one is given, in the default location."""

    name: BalancerName
    load_balancer_type: IdOrName
    location: IdOrName | None = None
    network_zone: Name | None = None
    network: Id | None = None
    public_interface: bool = True
    public_net: PublicNetChoice = PublicNetChoice()
    algorithm: AlgorithmChoice = AlgorithmChoice(type="round_robin")
    services: list[NewService] = Field(default_factory=list, max_length=100)
    targets: list[NewTarget] = Field(default_factory=list, max_length=1000)
    labels: Labels = Field(default_factory=dict)


class UpdateLoadBalancer(Wire, json_schema_extra=example(name="other", labels={"env": "prod"})):
    """What is not sent stays; labels replace the whole map."""

    name: BalancerName | None = None
    labels: Labels | None = None


class ChangeLoadBalancerType(Wire, json_schema_extra=example(load_balancer_type="lb21")):
    load_balancer_type: IdOrName


class AttachLoadBalancer(Wire, json_schema_extra=example(network=4711, ip="10.0.1.3")):
    """Without ``ip``: the first free address of ``ip_range``, a subnet, or of any of the network's."""

    network: Id
    ip: Ip | None = None
    ip_range: Range | None = None
