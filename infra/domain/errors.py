"""The one tree of expected failures: each class fixes its wire code, its HTTP status and whether trying again can help.

    PuchifyError
    ├── BadRequest                  the caller can mend it
    │   ├── JsonError               400 json_error
    │   ├── Unauthorized            401 unauthorized
    │   ├── TokenReadonly           401 token_readonly
    │   ├── Forbidden               403 forbidden
    │   ├── QuotaExceeded           403 resource_limit_exceeded
    │   ├── NotFound                404 not_found
    │   ├── MethodNotAllowed        405 method_not_allowed
    │   ├── UniquenessError         409 uniqueness_error
    │   ├── Conflict                409 conflict
    │   │   └── HostInUse           a host cannot be removed: it holds servers
    │   ├── Deprecated              410 deprecated_api_endpoint
    │   ├── InvalidInput            422 invalid_input
    │   │   └── RequestTooLarge     413 invalid_input: the wire has no code of its own for it
    │   ├── Locked                  423 locked
    │   └── RateLimited             429 rate_limit_exceeded
    ├── ResourceUnavailable         412 resource_unavailable: no host or no address fits now
    ├── OrderWithdrawn              409 conflict: the order was taken back before it began
    ├── HostFailure                 the host is left behind and the server placed again
    │   ├── HostUnavailable         its worker or its hypervisor does not answer; retried first
    │   ├── HostFull                no room on the disk, no free device
    │   ├── ImageDoubtful           it cannot read the image: the store's fault, or its own, as the region finds out
    │   └── StaleClaim              the host is told something an earlier claim may no longer ask for
    ├── ImageUnusable               422 the image cannot be deployed as asked
    │   └── ImageRefused            422 an image that somebody brought is not taken in
    ├── GuestNotReady               504 the machine runs but does not answer in time
    ├── Unavailable                 503 unavailable: a part of Puchify does not answer
    └── ServerError                 500 server_error: our bug

A message is written for the user: it never names workflows, activities or hosts. What the operator needs beside it
is the exception's ``__cause__``, which goes to the log. ``details`` is what the wire carries (hcloud: ``{"fields":
[{"name", "messages"}]}`` for invalid_input, ``{"limits": [...]}`` for resource_limit_exceeded).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class PuchifyError(Exception):
    """An expected failure. ``code`` and ``status`` are the wire's; ``retryable`` is for whoever runs the step."""

    code: ClassVar[str] = "server_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details) if details is not None else None


class BadRequest(PuchifyError):
    code, status = "bad_request", 400


class JsonError(BadRequest):
    code, status = "json_error", 400


class Unauthorized(BadRequest):
    code, status = "unauthorized", 401


class TokenReadonly(BadRequest):
    code, status = "token_readonly", 401


class Forbidden(BadRequest):
    code, status = "forbidden", 403


class QuotaExceeded(BadRequest):
    code, status = "resource_limit_exceeded", 403


class NotFound(BadRequest):
    code, status = "not_found", 404

    @classmethod
    def of(cls, noun: str, id: int) -> NotFound:
        return cls(f"{noun} with ID '{id}' not found")


class MethodNotAllowed(BadRequest):
    code, status = "method_not_allowed", 405


class UniquenessError(BadRequest):
    code, status = "uniqueness_error", 409

    @classmethod
    def of(cls, field: str, message: str = "name is already used") -> UniquenessError:
        return cls(message, {"fields": [{"name": field}]})


class Conflict(BadRequest):
    code, status = "conflict", 409


class HostInUse(Conflict):
    """For operators: the message names the host and its servers."""


class Deprecated(BadRequest):
    code, status = "deprecated_api_endpoint", 410


Problems = list[tuple[str, str]]
"""What is wrong with a request: (field, what is wrong with it), in the order of the request."""


class InvalidInput(BadRequest):
    code, status = "invalid_input", 422

    @classmethod
    def fields(cls, problems: Sequence[tuple[str, str]]) -> InvalidInput:
        """Every one of ``problems`` is told."""
        by_field: dict[str, list[str]] = {}
        for field, problem in problems:
            by_field.setdefault(field, []).append(problem)
        names = ", ".join(f"'{name}'" for name in by_field)
        noun = "field" if len(by_field) == 1 else "fields"
        return cls(
            f"invalid input in {noun} {names}",
            {"fields": [{"name": name, "messages": messages} for name, messages in by_field.items()]},
        )

    @classmethod
    def field(cls, name: str, problem: str) -> InvalidInput:
        return cls.fields([(name, problem)])

    @property
    def reasons(self) -> list[str]:
        """What is wrong, without the fields' names."""
        fields = (self.details or {}).get("fields", ())
        return [message for one in fields for message in one.get("messages", ())]

    def __str__(self) -> str:
        """With the reasons, for who sees no details: clients of the wire print them under the message themselves."""
        return ": ".join(filter(None, (self.message, "; ".join(self.reasons))))


class RequestTooLarge(InvalidInput):
    status = 413


class Locked(BadRequest):
    code, status = "locked", 423


class RateLimited(BadRequest):
    code, status = "rate_limit_exceeded", 429


class ResourceUnavailable(PuchifyError):
    code, status = "resource_unavailable", 412


class OrderWithdrawn(PuchifyError):
    code, status = "conflict", 409


class HostFailure(PuchifyError):
    """The server can be placed on another host; this one keeps nothing of it."""

    code, status = "host_failure", 503


class HostUnavailable(HostFailure):
    code, retryable = "host_unavailable", True


class HostFull(HostFailure):
    code = "host_full"


class ImageDoubtful(HostFailure):
    """The books are to be told, so that it is looked at; meanwhile another host may read it."""

    code = "image_unreadable"


class StaleClaim(HostFailure):
    code = "stale_claim"


class ImageUnusable(PuchifyError):
    code, status = "image_unusable", 422


class ImageRefused(ImageUnusable):
    """What is in the file is not accepted as an image; the message says what it is, and what would help."""


class GuestNotReady(PuchifyError):
    code, status = "server_not_ready", 504


class Unavailable(PuchifyError):
    code, status, retryable = "unavailable", 503, True


class ServerError(PuchifyError):
    code, status = "server_error", 500


def _tree(root: type[PuchifyError]) -> list[type[PuchifyError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_NAME: Mapping[str, type[PuchifyError]] = {kind.__name__: kind for kind in _tree(PuchifyError)}
HOST_FAILURES: frozenset[str] = frozenset(kind.code for kind in _tree(HostFailure))
