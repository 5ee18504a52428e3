"""What a load balancer's order chooses: its references found, every problem told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from api.choices import term_problems
from api.references import chosen
from api.schemas.load_balancer_requests import CreateLoadBalancer, NewTarget
from infra.db import load_balancer_targets, networks
from infra.db.load_balancer_services import new_problems
from infra.db.load_balancer_types import LoadBalancerType, load_balancer_types
from infra.db.locations import Location, locations, preferred
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput, Problems


@dataclass(frozen=True, slots=True)
class Choice:
    type: LoadBalancerType
    location: Location


async def choose(connection: Connection, project_id: int, body: CreateLoadBalancer, default_location: str) -> Choice:
    """InvalidInput names each field that is wrong. Whether it can be so is found out when it is made."""
    problems: Problems = []
    type = _type(body.load_balancer_type, await load_balancer_types(connection), problems)
    location = _location(body, await locations(connection), default_location, problems)
    problems += term_problems("load_balancer_type", type, location, datetime.now(UTC))
    if body.network and await networks.KIND.missing(connection, project_id, [body.network]):
        problems.append(("network", f"network {body.network} does not exist"))
    for n, service in enumerate(body.services):
        problems += await new_problems(connection, project_id, service.sent, f"services.{n}.")
    problems += await target_problems(
        connection, project_id, {f"targets.{n}.": target for n, target in enumerate(body.targets)}
    )
    if problems or not (type and location):
        raise InvalidInput.fields(problems)
    return Choice(type, location)


async def choose_type(connection: Connection, asked: int | str, location: Location, now: int) -> LoadBalancerType:
    """For one that has the type of id ``now``, which it may keep even when it can no longer be ordered."""
    problems: Problems = []
    type = _type(asked, await load_balancer_types(connection), problems)
    if type and type.id != now:
        found = term_problems("load_balancer_type", type, location, datetime.now(UTC))
        problems += [("load_balancer_type", problem) for _, problem in found]
    if problems or not type:
        raise InvalidInput.fields(problems)
    return type


async def target_problems(connection: Connection, project_id: int, asked: Mapping[str, NewTarget]) -> Problems:
    """``asked``: by the field that a target stands in."""
    servers = {where: target.named.server_id for where, target in asked.items()}
    missing = await load_balancer_targets.missing_servers(connection, project_id, [id for id in servers.values() if id])
    return [(f"{where}server.id", f"server {id} does not exist") for where, id in servers.items() if id in missing]


def _type(asked: int | str, offered: Sequence[LoadBalancerType], problems: Problems) -> LoadBalancerType | None:
    found = chosen(asked, offered)
    if found is None:
        problems.append(("load_balancer_type", f"load balancer type {asked!r} does not exist"))
    return found


def _location(
    body: CreateLoadBalancer, places: Sequence[Location], default: str, problems: Problems
) -> Location | None:
    """The one that is asked for, or the preferred one of the zone, or of all."""
    if body.location is not None and body.network_zone is not None:
        problems.append(("network_zone", "cannot be given together with location"))
    if body.location is not None:
        field, asked, found = "location", body.location, chosen(body.location, places)
    elif body.network_zone is not None:
        inside = [one for one in places if one.network_zone == body.network_zone]
        field, asked, found = "network_zone", body.network_zone, preferred(inside, default)
    else:
        field, asked, found = "location", default, preferred(places, default)
    if found is None:
        problems.append((field, f"{field.replace('_', ' ')} {asked!r} does not exist"))
    return found
