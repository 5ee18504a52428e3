"""Firewalls on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from typing_extensions import TypedDict

from api.documented import example
from api.pagination import Meta
from api.schemas.actions import ActionWire
from api.schemas.fields import Id, Labels, ShortName, ShortText, UpdateNamed, Wire
from api.schemas.times import timestamp
from infra.db.firewalls import Firewall
from infra.domain.firewalls import (
    MOST_RANGES,
    MOST_RULES,
    Direction,
    Protocol,
    Rule,
    Side,
    Target,
    canonical_range,
    port_problem,
    side_problem,
)
from infra.domain.labels import LONGEST_SELECTOR, terms_of

RULE = {"direction": "in", "protocol": "tcp", "port": "443", "source_ips": ["0.0.0.0/0", "::/0"]}
TO_SERVER = {"type": "server", "server": {"id": 42}}
"""Of the document's examples."""

MOST_TARGETS = 100
"""Of one request: each is an action."""


def _selector(text: str) -> str:
    if not terms_of(text):
        raise ValueError("must not be empty")
    return text


Range = Annotated[str, AfterValidator(canonical_range)]
Ranges = Annotated[list[Range], Field(max_length=MOST_RANGES)]
SelectorText = Annotated[str, Field(min_length=1, max_length=LONGEST_SELECTOR), AfterValidator(_selector)]
TargetType = Literal["server", "label_selector"]


class RuleBody(Wire):
    """``source_ips`` for ``in``, ``destination_ips`` for ``out``; ``port`` for tcp and udp: a port, a range, or any."""

    direction: Direction
    protocol: Protocol
    port: str | None = Field(None, validate_default=True)
    source_ips: Ranges = Field(default_factory=list, validate_default=True)
    destination_ips: Ranges = Field(default_factory=list, validate_default=True)
    description: ShortText | None = None

    @field_validator("port")
    @classmethod
    def _port_fits(cls, port: str | None, info: ValidationInfo) -> str | None:
        protocol: Protocol | None = info.data.get("protocol")
        if protocol and (problem := port_problem(protocol, port)):
            raise ValueError(problem)
        return port

    @field_validator("source_ips", "destination_ips")
    @classmethod
    def _sides_fit(cls, ranges: list[str], info: ValidationInfo) -> list[str]:
        direction: Direction | None = info.data.get("direction")
        side: Side = "source_ips" if info.field_name == "source_ips" else "destination_ips"
        if direction and (problem := side_problem(direction, side, ranges)):
            raise ValueError(problem)
        return list(dict.fromkeys(ranges))

    @property
    def rule(self) -> Rule:
        ranges = tuple(self.source_ips), tuple(self.destination_ips)
        return Rule(self.direction, self.protocol, self.port, *ranges, self.description)


class ServerReference(Wire):
    id: Id


class SelectorBody(Wire):
    selector: SelectorText


class TargetBody(Wire):
    """The one of ``server`` and ``label_selector`` that ``type`` names."""

    type: TargetType
    server: ServerReference | None = Field(None, validate_default=True)
    label_selector: SelectorBody | None = Field(None, validate_default=True)

    @field_validator("server", "label_selector")
    @classmethod
    def _is_the_one(cls, value: Any, info: ValidationInfo) -> Any:
        type = info.data.get("type")
        if type == info.field_name and value is None:
            raise ValueError(f"is required for type {type}")
        if type and type != info.field_name and value is not None:
            raise ValueError(f"must not be given for type {type}")
        return value

    @property
    def target(self) -> Target:
        return Target(
            self.server.id if self.server else None, self.label_selector.selector if self.label_selector else None
        )


Rules = Annotated[list[RuleBody], Field(max_length=MOST_RULES)]
Targets = Annotated[list[TargetBody], Field(max_length=MOST_TARGETS)]


class CreateFirewall(Wire, json_schema_extra=example(name="web", rules=[RULE], apply_to=[TO_SERVER])):
    name: ShortName
    labels: Labels = Field(default_factory=dict)
    rules: Rules = Field(default_factory=list)
    apply_to: Targets = Field(default_factory=list)


class UpdateFirewall(UpdateNamed):
    name: ShortName | None = None


class SetRules(Wire, json_schema_extra=example(rules=[RULE])):
    """In place of all that it has; none clears them."""

    rules: Rules


class ApplyToResources(Wire, json_schema_extra=example(apply_to=[TO_SERVER])):
    """To none is fine: clients send what differs, which may be nothing."""

    apply_to: Targets


class RemoveFromResources(Wire, json_schema_extra=example(remove_from=[TO_SERVER])):
    remove_from: Targets


class RuleWire(TypedDict):
    direction: Direction
    protocol: Protocol
    port: str | None
    source_ips: list[str]
    destination_ips: list[str]
    description: str | None


class ServerReferenceWire(TypedDict):
    id: int


class SelectorWire(TypedDict):
    selector: str


class AppliedToServer(TypedDict):
    type: Literal["server"]
    server: ServerReferenceWire


class AppliedToSelector(TypedDict):
    """``applied_to_resources``: the servers that it matches now."""

    type: Literal["label_selector"]
    label_selector: SelectorWire
    applied_to_resources: list[AppliedToServer]


class FirewallWire(TypedDict):
    """``rules``: those for what comes in first."""

    id: int
    name: str
    labels: dict[str, str]
    created: str
    rules: list[RuleWire]
    applied_to: list[AppliedToServer | AppliedToSelector]


class FirewallAnswer(TypedDict):
    firewall: FirewallWire


class CreatedFirewall(TypedDict):
    firewall: FirewallWire
    actions: list[ActionWire]


class FirewallsAnswer(TypedDict):
    firewalls: list[FirewallWire]
    meta: Meta


class ServerFirewall(TypedDict):
    """Of a server. ``applied``: its host guards it by that; ``pending``: it is about to."""

    id: int
    status: Literal["applied", "pending"]


def firewall_wire(firewall: Firewall, matching: Mapping[str, list[int]]) -> FirewallWire:
    """``matching``: by selector, the servers that it matches."""
    return {
        "id": firewall.id,
        "name": firewall.name,
        "labels": firewall.labels,
        "created": timestamp(firewall.created),
        "rules": [_rule_wire(rule) for rule in firewall.rules],
        "applied_to": [_applied_to(target, matching) for target in firewall.targets],
    }


def server_firewall(id: int, in_force: bool) -> ServerFirewall:
    return {"id": id, "status": "applied" if in_force else "pending"}


def _rule_wire(rule: Rule) -> RuleWire:
    return {
        "direction": rule.direction,
        "protocol": rule.protocol,
        "port": rule.port,
        "source_ips": list(rule.source_ips),
        "destination_ips": list(rule.destination_ips),
        "description": rule.description,
    }


def _applied_to(target: Target, matching: Mapping[str, list[int]]) -> AppliedToServer | AppliedToSelector:
    if target.server_id is not None:
        return _server(target.server_id)
    selector = target.selector or ""
    return {
        "type": "label_selector",
        "label_selector": {"selector": selector},
        "applied_to_resources": [_server(id) for id in matching.get(selector, [])],
    }


def _server(id: int) -> AppliedToServer:
    return {"type": "server", "server": {"id": id}}
