"""Services of load balancers in the books: no two listen on one port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

from infra.db import certificates
from infra.db.load_balancers import KIND, LoadBalancer, check_limits
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput, NotFound, Problems
from infra.domain.load_balancers import (
    Sent,
    Service,
    changed_service,
    clashing_port,
    new_service,
    sent_problems,
    service_problems,
)
from infra.domain.refusals import SourcePortAlreadyUsed

INSERT = """
INSERT INTO load_balancer_services
    (load_balancer_id, listen_port, protocol, destination_port, proxyprotocol, http, health_check)
VALUES (%(load_balancer_id)s, %(listen_port)s, %(protocol)s, %(destination_port)s, %(proxyprotocol)s, %(http)s,
        %(health_check)s)
"""
USE = "INSERT INTO load_balancer_certificates (load_balancer_id, listen_port, certificate_id) VALUES (%s, %s, %s)"
DELETE = "DELETE FROM load_balancer_services WHERE load_balancer_id = %s AND listen_port = %s"


async def new_problems(connection: Connection, project_id: int, sent: Sent, where: str = "") -> Problems:
    """What keeps a new service from being made; ``where``: of the fields."""
    problems = sent_problems(sent) or await _problems(connection, project_id, new_service(sent))
    return [(f"{where}{field}", problem) for field, problem in problems]


async def add(connection: Connection, project_id: int, id: int, sent: Sent) -> None:
    """InvalidInput, SourcePortAlreadyUsed, QuotaExceeded."""
    balancer = await KIND.locked(connection, project_id, id)
    if problems := await new_problems(connection, project_id, sent):
        raise InvalidInput.fields(problems)
    service = new_service(sent)
    check_limits(balancer.type, [*balancer.services, service], len(balancer.targets))
    await _insert(connection, id, service, balancer.services)


async def update(connection: Connection, project_id: int, id: int, listen_port: int, sent: Sent) -> None:
    """What is not sent stays. NotFound: it has no such service. InvalidInput, SourcePortAlreadyUsed, QuotaExceeded."""
    balancer = await KIND.locked(connection, project_id, id)
    service = changed_service(_of_port(balancer, listen_port), sent)
    if problems := await _problems(connection, project_id, service):
        raise InvalidInput.fields(problems)
    others = [one for one in balancer.services if one.listen_port != listen_port]
    check_limits(balancer.type, [*others, service], len(balancer.targets))
    await connection.execute(DELETE, (id, listen_port))
    await _insert(connection, id, service, others)


async def delete(connection: Connection, project_id: int, id: int, listen_port: int) -> None:
    """NotFound: it has no such service."""
    _of_port(await KIND.locked(connection, project_id, id), listen_port)
    await connection.execute(DELETE, (id, listen_port))


async def _problems(connection: Connection, project_id: int, service: Service) -> Problems:
    return service_problems(service, await certificates.known(connection, project_id, service.certificates))


def _of_port(balancer: LoadBalancer, listen_port: int) -> Service:
    for service in balancer.services:
        if service.listen_port == listen_port:
            return service
    raise NotFound(f"load balancer has no service on port {listen_port}")


async def _insert(connection: Connection, id: int, service: Service, others: Sequence[Service]) -> None:
    if port := clashing_port(others, service):
        raise SourcePortAlreadyUsed(f"source port {port} is already used by another service of the load balancer")
    values: dict[str, Any] = asdict(service)
    values |= {"http": Jsonb(values["http"]) if service.http else None, "health_check": Jsonb(values["health_check"])}
    await connection.execute(INSERT, {**values, "load_balancer_id": id})
    for certificate_id in set(service.certificates):
        await connection.execute(USE, (id, service.listen_port, certificate_id))
