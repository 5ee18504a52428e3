"""What the OpenAPI document says of failures: each operation lists every code that it may answer with.

``failing(NotFound, Locked)`` is the ``responses`` of a route: those, and what any operation may answer.
"""

from __future__ import annotations

from typing import Any

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


class ErrorBody(TypedDict):
    """Clients branch on ``code``. ``details`` names the fields of ``invalid_input`` and ``uniqueness_error``, and the
    limits of ``resource_limit_exceeded``; it is null otherwise."""

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
        "model": ErrorAnswer,
        "description": " or ".join(f"`{code}`" for code in codes),
        "content": {"application/json": {"examples": examples}},
    }


def _example(kind: type[PuchifyError]) -> ErrorAnswer:
    fields = {"fields": [{"name": "name", "messages": ["is required"]}]} if issubclass(kind, InvalidInput) else None
    return {"error": {"code": kind.code, "message": kind.code.replace("_", " "), "details": fields}}
