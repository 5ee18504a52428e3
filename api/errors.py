"""Errors on the wire: the one place where an exception becomes an HTTP answer, ``{"error": {code, message, details}}``.

What the caller can mend says how; what Puchify got wrong is logged with its traceback and answered with nothing but the
request's id. A part that is away (database, Temporal) is 503 ``unavailable``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from psycopg import DatabaseError, DataError, IntegrityError, OperationalError
from psycopg.errors import DeadlockDetected
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from infra.domain.errors import (
    Conflict,
    InvalidInput,
    JsonError,
    MethodNotAllowed,
    NotFound,
    PuchifyError,
    ServerError,
    Unavailable,
)
from infra.logs import REQUEST

log = logging.getLogger(__name__)

WRAPPERS = ("body", "query", "path", "header")
CHALLENGE = {"WWW-Authenticate": "Bearer"}
"""RFC 9110: a 401 says how one makes oneself known."""


def answer(error: PuchifyError) -> Response:
    # Clients take ``details`` for granted on invalid_input, so the key is always there.
    body = {"error": {"code": error.code, "message": error.message, "details": error.details}}
    return JSONResponse(body, error.status, CHALLENGE if error.status == 401 else None)


def understood(cause: Exception) -> PuchifyError | None:
    """The expected failure that an exception stands for; None: a bug."""
    match cause:
        case PuchifyError():
            return cause
        case RequestValidationError():
            return from_validation(cause.errors())
        case IntegrityError() | DeadlockDetected():  # what was found when it was checked is gone when it is written
            return Conflict("something that this depends on was changed at the same moment; try again")
        case OperationalError():  # the pool's timeouts are among them
            return Unavailable("the database does not answer; try again in a moment")
        case DataError() | UnicodeEncodeError():
            return InvalidInput("invalid input: a value holds characters or a size that cannot be stored")
        case HTTPException(__cause__=PuchifyError() as inner):  # raised while the framework read the body
            return inner
        case HTTPException(status_code=404):
            return NotFound("there is nothing at this address")
        case HTTPException(status_code=405):
            return MethodNotAllowed("this address does not take that method")
        case HTTPException():
            return JsonError("the request body cannot be read as JSON")
    return None


def from_validation(problems: Sequence[Any]) -> PuchifyError:
    """Every wrong field at once, named as the request names it."""
    for problem in problems:
        if problem["type"] == "json_invalid":
            reason = problem.get("ctx", {}).get("error", "it is malformed")
            return JsonError(f"the request body is not valid JSON: {reason}")
    return InvalidInput.fields([(_field(problem["loc"]), _reason(problem)) for problem in problems])


def _field(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location]
    return ".".join(parts[1:] if parts[0] in WRAPPERS and len(parts) > 1 else parts)


def _reason(problem: dict[str, Any]) -> str:
    if problem["type"] == "missing":
        return "is required"
    return str(problem["msg"]).removeprefix("Value error, ")


def answer_to(cause: Exception) -> Response:
    """Our bug: the operator reads all of it, the caller only what to quote."""
    if error := understood(cause):
        if isinstance(error, Unavailable):
            log.warning("unavailable: %s (%s)", error.message, cause.__cause__ or cause)
        elif isinstance(cause, DatabaseError):
            # Without what it says in detail: that may be the whole row, with user data and keys in it.
            log.warning("refused by the database: %s", cause.diag.message_primary or type(cause).__name__)
        return answer(error)
    log.error("the request failed", exc_info=cause)
    return answer(ServerError(f"an internal error occurred; quote request {REQUEST.get()} when you report it"))


def methods_at(request: Request) -> list[str]:
    """What the address takes: each method of it is a route of its own, and the framework names only the first one's."""
    routes = iter_route_contexts(request.app.routes)
    there = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in there for method in route.methods or ()})


def install(app: FastAPI) -> None:
    async def handle(request: Request, cause: Exception) -> Response:
        response = answer_to(cause)
        if isinstance(understood(cause), MethodNotAllowed):
            response.headers["Allow"] = ", ".join(methods_at(request))
        return response

    for kind in (PuchifyError, RequestValidationError, OperationalError, DataError, IntegrityError, HTTPException):
        app.add_exception_handler(kind, handle)
