"""Reverse DNS on the wire: of servers, primary IPs and load balancers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, model_validator
from typing_extensions import TypedDict

from api.documented import example
from api.schemas.fields import Hostname, Wire
from infra.domain.dns_ptr import canonical


def _address(text: str) -> str:
    try:
        return canonical(text)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


Address = Annotated[str, AfterValidator(_address)]


class ChangeDnsPtr(Wire, json_schema_extra=example(ip="192.0.2.1", dns_ptr="web.example.com")):
    """``dns_ptr``: the name; null takes it back: an IPv4 address gets its default name, an IPv6 address none."""

    ip: Address
    dns_ptr: Hostname | None

    @model_validator(mode="before")
    @classmethod
    def _null_is_omitted(cls, body: Any) -> Any:
        return body  # here it is not: it must be said


class DnsPtrWire(TypedDict):
    ip: str
    dns_ptr: str
