"""Load balancer types: how much of everything a load balancer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.db import terms
from infra.db.pool import Connection
from infra.domain.terms import Terms

LOAD_BALANCER_TYPES = terms.SELECT.format(table="load_balancer_type").encode()
LIMITS = ("max_connections", "max_services", "max_targets", "max_assigned_certificates")


@dataclass(frozen=True, slots=True)
class LoadBalancerType:
    id: int
    name: str
    description: str
    max_connections: int
    max_services: int
    max_targets: int
    max_assigned_certificates: int
    terms: Terms


def load_balancer_type_of(row: Mapping[str, Any]) -> LoadBalancerType:
    own = {column: row[column] for column in ("id", "name", "description", *LIMITS)}
    return LoadBalancerType(**own, terms=terms.terms_of(row))


async def load_balancer_types(connection: Connection) -> list[LoadBalancerType]:
    return [load_balancer_type_of(row) for row in await (await connection.execute(LOAD_BALANCER_TYPES)).fetchall()]
