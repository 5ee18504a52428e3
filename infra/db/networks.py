"""Networks in the books. Whoever changes one holds its row's lock: what was checked still holds when it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db.named import Kind
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput, QuotaExceeded
from infra.domain.networks import (
    MOST_ROUTES,
    MOST_SUBNETS,
    Route,
    Subnet,
    gateway_of,
    next_subnet,
    route_problem,
    subnet_problem,
    widening_problem,
)
from infra.domain.refusals import NetworksOverlap, NoSubnetAvailable, ServiceError

SELECT = sql.SQL("""
SELECT r.id, r.name, r.ip_range::text, r.vswitch_routes, r.protected, r.labels, r.created,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('ip_range', s.ip_range, 'network_zone', s.network_zone,
                                                     'type', s.type) ORDER BY s.ip_range), '[]')
        FROM subnets s WHERE s.network_id = r.id) AS subnets,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('destination', w.destination, 'gateway', host(w.gateway))
                                  ORDER BY w.destination), '[]')
        FROM routes w WHERE w.network_id = r.id) AS routes,
       ARRAY(SELECT m.server_id FROM network_members m
             WHERE m.network_id = r.id AND m.server_id IS NOT NULL ORDER BY m.server_id) AS servers,
       ARRAY(SELECT m.load_balancer_id FROM network_members m
             WHERE m.network_id = r.id AND m.load_balancer_id IS NOT NULL ORDER BY m.load_balancer_id) AS load_balancers
FROM networks r""")


@dataclass(frozen=True, slots=True)
class Network:
    """``servers``, ``load_balancers``: the ids of those that are in it."""

    id: int
    name: str
    ip_range: IPv4Network
    vswitch_routes: bool
    protected: bool
    labels: dict[str, str]
    created: datetime
    subnets: tuple[Subnet, ...]
    routes: tuple[Route, ...]
    servers: list[int]
    load_balancers: list[int]


@dataclass(frozen=True, slots=True)
class NewNetwork:
    project_id: int
    name: str
    ip_range: IPv4Network
    vswitch_routes: bool
    labels: dict[str, str]


def _network(row: DictRow) -> Network:
    subnets = tuple(Subnet(IPv4Network(one["ip_range"]), one["network_zone"], one["type"]) for one in row["subnets"])
    routes = tuple(Route(IPv4Network(one["destination"]), IPv4Address(one["gateway"])) for one in row["routes"])
    return Network(**{**row, "ip_range": IPv4Network(row["ip_range"]), "subnets": subnets, "routes": routes})


KIND = Kind("networks", "network", SELECT, _network)


async def create(connection: Connection, new: NewNetwork) -> int:
    """Without subnets and routes; its id. UniquenessError: the name is taken."""
    values = {
        "project_id": new.project_id,
        "name": new.name,
        "ip_range": new.ip_range,
        "vswitch_routes": new.vswitch_routes,
        "labels": Jsonb(new.labels),
    }
    return await KIND.insert(connection, values)


async def require(connection: Connection, project_id: int, id: int) -> None:
    """InvalidInput: what is asked for names a network that the project does not have."""
    if await KIND.missing(connection, project_id, [id]):
        raise InvalidInput.field("network", f"network {id} does not exist")


async def add_subnet(
    connection: Connection,
    project_id: int,
    id: int,
    zone: str,
    type: str,
    ip_range: IPv4Network | None,
    where: str = "",
) -> None:
    """``ip_range`` None: the first /24 that is free. ``where``: of the field. NoSubnetAvailable,
    NetworksOverlap, QuotaExceeded."""
    network = await KIND.locked(connection, project_id, id)
    _keep_room("subnets", len(network.subnets), MOST_SUBNETS)
    wanted = ip_range or next_subnet(network.ip_range, network.subnets)
    if wanted is None:
        raise NoSubnetAvailable("the network has no /24 free: name a smaller ip_range")
    if problem := subnet_problem(network.ip_range, network.subnets, wanted):
        if problem.startswith("overlaps"):
            raise NetworksOverlap(f"subnet {wanted} {problem}")
        raise InvalidInput.field(f"{where}ip_range", problem)
    if any(wanted.overlaps(route.destination) for route in network.routes if route.destination.prefixlen):
        raise NetworksOverlap(f"subnet {wanted} overlaps a route of the network")
    await connection.execute(
        "INSERT INTO subnets (network_id, ip_range, type, network_zone) VALUES (%s, %s, %s, %s)",
        (id, wanted, type, zone),
    )


async def delete_subnet(connection: Connection, project_id: int, id: int, ip_range: IPv4Network) -> None:
    """ServiceError: somebody has an address in it."""
    network = await KIND.locked(connection, project_id, id)
    if not any(one.ip_range == ip_range for one in network.subnets):
        raise InvalidInput.field("ip_range", f"the network has no subnet {ip_range}")
    held = "SELECT member_id FROM network_addresses WHERE network_id = %s AND ip << %s LIMIT 1"
    if await (await connection.execute(held, (id, ip_range))).fetchone():
        raise ServiceError(f"subnet {ip_range} of the network has attached resources: servers are attached")
    await connection.execute("DELETE FROM subnets WHERE network_id = %s AND ip_range = %s", (id, ip_range))


async def add_route(connection: Connection, project_id: int, id: int, route: Route, where: str = "") -> None:
    """InvalidInput, QuotaExceeded; ``where``: of the field."""
    network = await KIND.locked(connection, project_id, id)
    _keep_room("routes", len(network.routes), MOST_ROUTES)
    if problem := route_problem(network.ip_range, network.subnets, network.routes, route):
        field, text = problem
        raise InvalidInput.field(f"{where}{field}", text)
    await connection.execute(
        "INSERT INTO routes (network_id, destination, gateway) VALUES (%s, %s, %s)",
        (id, route.destination, route.gateway),
    )


async def delete_route(connection: Connection, project_id: int, id: int, route: Route) -> None:
    network = await KIND.locked(connection, project_id, id)
    if route not in network.routes:
        text = f"the network has no route to {route.destination} by {route.gateway}"
        raise InvalidInput.fields([("destination", text), ("gateway", text)])
    await connection.execute("DELETE FROM routes WHERE network_id = %s AND destination = %s", (id, route.destination))


async def widen(connection: Connection, project_id: int, id: int, ip_range: IPv4Network) -> None:
    """The same range is fine."""
    network = await KIND.locked(connection, project_id, id)
    if problem := widening_problem(network.ip_range, ip_range):
        raise InvalidInput.field("ip_range", problem)
    await connection.execute("UPDATE networks SET ip_range = %s WHERE id = %s", (ip_range, id))


async def zones(connection: Connection) -> list[str]:
    """What a subnet may be in."""
    found = await connection.execute("SELECT name FROM network_zones ORDER BY name")
    return [row["name"] for row in await found.fetchall()]


def gateway(network: Network) -> IPv4Address:
    """Of each of its subnets."""
    return gateway_of(network.ip_range)


def in_zone(subnets: Sequence[Subnet], zone: str) -> list[Subnet]:
    return [one for one in subnets if one.network_zone == zone]


def _keep_room(resource: str, used: int, most: int) -> None:
    if used >= most:
        limit = {"name": "network_limit", "resource": resource, "limit": most, "used": used, "asked": 1}
        raise QuotaExceeded(f"a network has at most {most} {resource}", {"limits": [limit]})
