"""What the OpenAPI document says beside shapes: every code of an operation, examples, and what its tags hold.

``failing(NotFound, Locked)`` is the ``responses`` of a route: those, and what any operation may answer. An example
stands with the shape that it is of, and is held against it by tests/api/test_document.py::

    class CreateNetwork(Wire, json_schema_extra=example(name="inside", ip_range="10.0.0.0/16")): ...

    @shown(id=42, name="fsn1")
    class LocationWire(TypedDict): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from infra.domain.errors import (
    Conflict,
    InvalidInput,
    JsonError,
    PuchifyError,
    RateLimited,
    RequestTooLarge,
    ServerError,
    TokenReadonly,
    Unauthorized,
    Unavailable,
)

ALWAYS: tuple[type[PuchifyError], ...] = (
    *(JsonError, Unauthorized, TokenReadonly, RequestTooLarge, InvalidInput, Conflict, RateLimited),
    *(ServerError, Unavailable),
)

TAGS = {
    "Puchify extensions": "What hcloud's wire does not have. All of it is additive: a client that does not know it "
    "misses nothing. Beside these operations: the headers `Idempotency-Key` on each POST, `Prefer: wait=N` on what has "
    "an action, `RateLimit-*` on each answer, and the `host_key` of a server.",
    "actions": "What is under way and what became of it. Actions outlive what they were done to.",
    "servers": "Virtual machines, and what is done to them.",
    "ssh_keys": "Public keys that servers are given when they are ordered.",
    "placement_groups": "Servers that are to stand on different hosts.",
    "primary_ips": "Public addresses, which may outlive their server, and their names.",
    "networks": "Private networks: their ranges, subnets and routes.",
    "firewalls": "Rules of what may reach a server, and what it may reach.",
    "load_balancers": "One address in front of many servers.",
    "zones": "DNS zones. A server whose name lies in a zone of its project is found by it.",
    "rrsets": "What zones hold: the records of a name and a type.",
    "locations": "Where there is something to order.",
    "datacenters": "Parts of locations, for older clients: newer ones know only locations.",
    "server_types": "The plans that servers are ordered by.",
    "load_balancer_types": "The plans that load balancers are ordered by.",
    "images": "What servers are made of: system images, and the project's own, which it uploads.",
    "isos": "ISO images, listed only.",
    "pricing": "Prices as the catalog has them. Nothing is billed.",
    "floating_ips": "None can be made: lists are empty, each id is absent.",
    "volumes": "None can be made: lists are empty, each id is absent.",
    "certificates": "None can be made: lists are empty, each id is absent.",
}
"""In the order in which they are shown."""

DETAILS: dict[str, dict[str, Any]] = {
    "invalid_input": {"fields": [{"name": "name", "messages": ["is required"]}]},
    "uniqueness_error": {"fields": [{"name": "name"}]},
    "resource_limit_exceeded": {
        "limits": [{"name": "project_limit", "resource": "servers", "limit": 10, "used": 10, "asked": 1}]
    },
}
"""By code, in the examples of failures; null for all others."""

SCHEMAS = "#/components/schemas/"

SHOWN: dict[str, dict[str, Any]] = {}
"""Examples of answers, by the name of their shape."""

T = TypeVar("T", bound=type)


class ErrorBody(TypedDict):
    """Clients branch on ``code``. ``details`` names the fields of ``invalid_input`` and ``uniqueness_error``, the
    limits of ``resource_limit_exceeded``, and the ``offset`` at which an upload goes on; it is null otherwise."""

    code: str
    message: str
    details: dict[str, Any] | None


class ErrorAnswer(TypedDict):
    error: ErrorBody


def failing(*kinds: type[PuchifyError]) -> dict[int | str, dict[str, Any]]:
    """By status, as FastAPI wants it: the codes, and an example of each."""
    by_status: dict[int | str, dict[str, type[PuchifyError]]] = {}
    for kind in (*ALWAYS, *kinds):
        by_status.setdefault(kind.status, {})[kind.code] = kind
    return {status: _response(codes) for status, codes in sorted(by_status.items(), key=lambda one: int(one[0]))}


def _response(codes: dict[str, type[PuchifyError]]) -> dict[str, Any]:
    examples = {code: {"value": _example(kind)} for code, kind in codes.items()}
    return {
        "description": " or ".join(f"`{code}`" for code in codes),
        "content": {"application/json": {"schema": {"$ref": SCHEMAS + ErrorAnswer.__name__}, "examples": examples}},
    }


def _example(kind: type[PuchifyError]) -> ErrorAnswer:
    return {"error": {"code": kind.code, "message": kind.code.replace("_", " "), "details": DETAILS.get(kind.code)}}


def example(**body: Any) -> dict[str, Any]:
    """As ``json_schema_extra`` of a request's body: one that would be accepted."""
    return {"examples": [body]}


def shown(**answer: Any) -> Callable[[T], T]:
    """Of an answer's shape: one as it is sent, with its nulls."""

    def note(shape: T) -> T:
        SHOWN[shape.__name__] = answer
        return shape

    return note


class Documented(FastAPI):
    """Its document is complete: the framework leaves out every null, also those that are sent."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    # As a reference: a model of each failure's own, for each operation, would take seconds of every start.
    failure = TypeAdapter(ErrorAnswer).json_schema(ref_template=SCHEMAS + "{model}")
    shapes: dict[str, Any] = document["components"]["schemas"]
    shapes |= {**failure.pop("$defs"), ErrorAnswer.__name__: failure}
    for name, shape in shapes.items():
        if name in SHOWN:
            shape["examples"] = [SHOWN[name]]
    for methods in document["paths"].values():
        for response in (one for operation in methods.values() for one in operation["responses"].values()):
            for told in response.get("content", {}).get("application/json", {}).get("examples", {}).values():
                told["value"]["error"].setdefault("details", None)
    document["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
    return document
