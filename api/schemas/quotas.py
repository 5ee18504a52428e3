"""Quotas and requests for more on the wire, in the units of server types: memory and disk in GB."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from api.documented import example
from api.pagination import Meta
from api.schemas.fields import Text, Wire
from api.schemas.times import timestamp, timestamp_or_none
from infra.db.limits import Amount, QuotaUse
from infra.db.quota_requests import QuotaRequest, State
from infra.domain.quota import MOST, Limits, Scope

Limit = Annotated[int, Field(ge=1, le=MOST)]
GbLimit = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
Reason = Annotated[Text, StringConstraints(max_length=1000)]


class CreateQuotaRequest(Wire, json_schema_extra=example(scope="project", servers=500, reason="growth")):
    """Whose limits, and what they are to be: at least one, each more than the present one. Memory and disk in GB."""

    scope: Scope
    servers: Limit | None = None
    cores: Limit | None = None
    memory: GbLimit | None = None
    disk: Limit | None = None
    reason: Reason = ""

    @property
    def limits(self) -> Limits:
        return Limits.in_gb(self.servers, self.cores, self.memory, self.disk)


class AmountWire(TypedDict):
    """``used``: what servers take; ``held``: the part of it that servers take whose create is under way."""

    limit: int
    used: int
    held: int


class GbAmountWire(TypedDict):
    """The same, in GB."""

    limit: float
    used: float
    held: float


class QuotaWire(TypedDict):
    """Of the project whose key asks, or of its user, whose servers in all projects count."""

    scope: Scope
    id: int
    name: str
    servers: AmountWire
    cores: AmountWire
    memory: GbAmountWire
    disk: AmountWire


class QuotasAnswer(TypedDict):
    quotas: list[QuotaWire]


class QuotaRequestWire(TypedDict):
    """``name``: of the user or the project. Null: no more of it is asked for. ``decided``: null while it is open."""

    id: int
    scope: Scope
    name: str
    servers: int | None
    cores: int | None
    memory: float | None
    disk: int | None
    reason: str
    state: State
    created: str
    decided: str | None


class QuotaRequestAnswer(TypedDict):
    quota_request: QuotaRequestWire


class QuotaRequestsAnswer(TypedDict):
    quota_requests: list[QuotaRequestWire]
    meta: Meta


def quota_wire(quota: QuotaUse) -> QuotaWire:
    memory = quota.memory_mib
    return {
        "scope": quota.scope,
        "id": quota.id,
        "name": quota.name,
        "servers": _amount(quota.servers),
        "cores": _amount(quota.cores),
        "memory": {"limit": memory.limit / 1024, "used": memory.used / 1024, "held": memory.held / 1024},
        "disk": _amount(quota.disk_gib),
    }


def _amount(amount: Amount) -> AmountWire:
    return {"limit": amount.limit, "used": amount.used, "held": amount.held}


def quota_request_wire(request: QuotaRequest) -> QuotaRequestWire:
    limits = request.limits
    return {
        "id": request.id,
        "scope": request.scope,
        "name": request.subject,
        "servers": limits.servers,
        "cores": limits.cores,
        "memory": None if limits.memory_mib is None else limits.memory_mib / 1024,
        "disk": limits.disk_gib,
        "reason": request.reason,
        "state": request.state,
        "created": timestamp(request.created),
        "decided": timestamp_or_none(request.decided),
    }
