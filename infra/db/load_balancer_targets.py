"""Targets of load balancers in the books: servers, all servers with some labels, and addresses.

Whom a label selector means is found out when it is asked for, so that it never lags behind the labels. A target that is
defined twice is refused by the load balancer's lock and by constraints; what makes it reachable is checked under locks
that keep it so until the target is written. What it needs later on takes the target along when it goes (its server, its
network, its address), or cannot go while there is the target (see ``reaches``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow

from infra.db import addresses
from infra.db.load_balancers import KIND, LoadBalancer, Target, check_limits
from infra.db.pool import Connection
from infra.db.selectors import conditions, hold
from infra.db.servers import Server
from infra.domain.edge_plan import MOST_BACKENDS
from infra.domain.errors import QuotaExceeded
from infra.domain.labels import matches, parse_selector
from infra.domain.networks import PRIVATE
from infra.domain.refusals import (
    IpNotOwned,
    LoadBalancerNotAttachedToNetwork,
    LoadBalancerPublicInterfaceDisabled,
    LoadBalancerTargetNotFound,
    ResolveCloudPrivateTargetsError,
    ResolveCloudPublicTargetsError,
    TargetAlreadyDefined,
)

INSERT = """
INSERT INTO load_balancer_targets (load_balancer_id, server_id, selector, ip, primary_ip_id, member_id)
SELECT %(id)s, %(server_id)s, %(selector)s, %(ip)s, %(primary_ip_id)s,
       CASE WHEN %(by_network)s THEN (SELECT m.id FROM network_members m WHERE m.load_balancer_id = %(id)s) END
"""

DELETE = """
DELETE FROM load_balancer_targets
WHERE load_balancer_id = %(id)s AND (server_id = %(server_id)s OR selector = %(selector)s OR ip = %(ip)s)
"""

OWN_ADDRESS = """
SELECT p.id FROM addresses a JOIN primary_ips p ON p.id = a.primary_ip_id
WHERE a.address = ANY(%s) AND p.project_id = %s FOR KEY SHARE OF p
"""

OF_SERVERS = """
SELECT t.load_balancer_id, t.server_id, NULL AS selector FROM load_balancer_targets t WHERE t.server_id = ANY(%(ids)s)
UNION ALL
SELECT t.load_balancer_id, NULL, t.selector
FROM load_balancers b JOIN load_balancer_targets t ON t.load_balancer_id = b.id
WHERE t.selector IS NOT NULL AND b.project_id IN (SELECT s.project_id FROM servers s WHERE s.id = ANY(%(ids)s))
ORDER BY load_balancer_id
"""


@dataclass(frozen=True, slots=True)
class Named:
    """What a target is: one of these."""

    server_id: int | None = None
    selector: str | None = None
    ip: IPv4Address | IPv6Address | None = None

    def is_of(self, target: Target) -> bool:
        ip = str(self.ip) if self.ip else None
        return (self.server_id, self.selector, ip) == (target.server_id, target.selector, target.ip)

    @property
    def values(self) -> dict[str, Any]:
        return {"server_id": self.server_id, "selector": self.selector, "ip": str(self.ip) if self.ip else None}


@dataclass(frozen=True, slots=True)
class _Way:
    """How it is reached: in the load balancer's network, or in public; an address then by whom it is held."""

    by_network: bool
    primary_ip_id: int | None = None


async def add(connection: Connection, project_id: int, id: int, named: Named, by_network: bool) -> None:
    """``by_network``: of an address, it says itself. That the server exists is the caller's to have checked.

    TargetAlreadyDefined, QuotaExceeded, and whatever keeps it from being reached.
    """
    if named.selector is not None:
        await hold(connection, project_id)
    balancer = await KIND.locked(connection, project_id, id)
    if any(named.is_of(target) for target in balancer.targets):
        raise TargetAlreadyDefined("target is already defined")
    check_limits(balancer.type, balancer.services, len(balancer.targets) + 1)
    await _check_meant(connection, balancer, named)
    if named.ip is not None:
        way = await _way_to(connection, balancer, named.ip)
    else:
        way = _Way(by_network)
    _check_interface(balancer, way)
    if named.server_id is not None:
        await _check_server(connection, balancer, named.server_id, way)
    values = {**named.values, "id": id, "by_network": way.by_network, "primary_ip_id": way.primary_ip_id}
    await connection.execute(INSERT, values)


async def remove(connection: Connection, project_id: int, id: int, named: Named) -> None:
    await KIND.lock(connection, project_id, id)
    if (await connection.execute(DELETE, {**named.values, "id": id})).rowcount == 0:
        raise LoadBalancerTargetNotFound("load balancer target not found")


async def selected(connection: Connection, balancers: Sequence[LoadBalancer]) -> Mapping[str, Sequence[int]]:
    """The servers that each label selector among the targets means now, by selector. All are of one project."""
    selectors = {one.selector for balancer in balancers for one in balancer.targets if one.selector}
    return await _meant(connection, balancers[0].project_id, selectors) if selectors else {}


async def of_servers(connection: Connection, servers: Sequence[Server]) -> Mapping[int, Sequence[int]]:
    """The load balancers that send to each server, by server: as a target itself, or for its labels."""
    rows = await (await connection.execute(OF_SERVERS, {"ids": [server.id for server in servers]})).fetchall()
    terms = {row["selector"]: parse_selector(row["selector"]) for row in rows if row["selector"]}

    def sends(row: DictRow, server: Server) -> bool:
        return matches(terms[row["selector"]], server.labels) if row["selector"] else row["server_id"] == server.id

    return {
        server.id: list(dict.fromkeys(row["load_balancer_id"] for row in rows if sends(row, server)))
        for server in servers
    }


async def reaches(connection: Connection, server_id: int, type: addresses.Type) -> bool:
    """Whether a load balancer sends to that server by its public address of that type: IPv4, or else IPv6."""
    held = await addresses.of_server(connection, server_id)
    if type != ("ipv4" if "ipv4" in held else "ipv6"):
        return False
    query = "SELECT id FROM load_balancer_targets WHERE server_id = %s AND member_id IS NULL LIMIT 1"
    return await (await connection.execute(query, (server_id,))).fetchone() is not None


async def missing_servers(connection: Connection, project_id: int, ids: Iterable[int]) -> set[int]:
    """Those of ``ids`` that the project does not have."""
    wanted = set(ids)
    query = "SELECT id FROM servers WHERE project_id = %s AND id = ANY(%s)"
    found = await (await connection.execute(query, (project_id, list(wanted)))).fetchall()
    return wanted - {row["id"] for row in found}


async def _meant(connection: Connection, project_id: int, selectors: Iterable[str]) -> dict[str, list[int]]:
    """By selector; there is one."""
    found: dict[str, list[int]] = {selector: [] for selector in sorted(selectors)}
    queries = [_servers_with(selector) for selector in found]
    query = sql.SQL("{} ORDER BY selector, id").format(sql.SQL(" UNION ALL ").join(queries))
    for row in await (await connection.execute(query, {"project": project_id})).fetchall():
        found[row["selector"]].append(row["id"])
    return found


async def _check_meant(connection: Connection, balancer: LoadBalancer, named: Named) -> None:
    """QuotaExceeded: with that target it would send to more servers than any load balancer does."""
    asked: list[Target | Named] = [*balancer.targets, named]
    selectors = {one.selector for one in asked if one.selector}
    meant = await _meant(connection, balancer.project_id, selectors) if selectors else {}

    def count(targets: Sequence[Target | Named]) -> int:
        by_labels = {id for one in targets if one.selector for id in meant[one.selector]}
        servers = by_labels | {one.server_id for one in targets if one.server_id}
        return len(servers) + sum(one.ip is not None for one in targets)

    used, wanted = count(balancer.targets), count(asked)
    if wanted > MOST_BACKENDS:
        message = f"a load balancer sends to {MOST_BACKENDS} servers at most; with this target it would be {wanted}"
        limit = {"name": "max_servers", "limit": MOST_BACKENDS, "used": used, "asked": wanted - used}
        raise QuotaExceeded(message, {"limits": [limit]})


def _check_interface(balancer: LoadBalancer, way: _Way) -> None:
    if way.by_network and balancer.member is None:
        raise LoadBalancerNotAttachedToNetwork("load balancer must be attached to a network to use private IPs")
    if not way.by_network and not balancer.public_enabled:
        problem = "load balancer public interface is disabled, cannot add target using public IP"
        raise LoadBalancerPublicInterfaceDisabled(problem)


async def _check_server(connection: Connection, balancer: LoadBalancer, server_id: int, way: _Way) -> None:
    if way.by_network:
        assert balancer.member is not None, "its interface was checked"
        query = "SELECT id FROM network_members WHERE network_id = %s AND server_id = %s FOR KEY SHARE"
        inside = await connection.execute(query, (balancer.member.network_id, server_id))
        if await inside.fetchone() is None:
            raise ResolveCloudPrivateTargetsError(f"server {server_id} is not in the load balancer's network")
        return
    await connection.execute("SELECT id FROM servers WHERE id = %s FOR KEY SHARE", (server_id,))
    if not await addresses.of_server(connection, server_id):
        raise ResolveCloudPublicTargetsError(f"server {server_id} has no public address")


async def _way_to(connection: Connection, balancer: LoadBalancer, ip: IPv4Address | IPv6Address) -> _Way:
    """An address of the project's primary IPs, assigned or not, or one in a subnet of the load balancer's network."""
    held = [str(ip), str(IPv6Network((ip, 64), strict=False))] if isinstance(ip, IPv6Address) else [str(ip)]
    if own := await (await connection.execute(OWN_ADDRESS, (held, balancer.project_id))).fetchone():
        return _Way(by_network=False, primary_ip_id=own["id"])
    if balancer.member is None:
        if any(ip in private for private in PRIVATE):
            raise LoadBalancerNotAttachedToNetwork("load balancer must be attached to a network to use private IPs")
        raise IpNotOwned(f"{ip} is no address of this project")
    query = "SELECT ip_range FROM subnets WHERE network_id = %s AND ip_range >>= %s::inet"
    if await (await connection.execute(query, (balancer.member.network_id, str(ip)))).fetchone() is None:
        raise IpNotOwned(f"{ip} is no address of this project, and in no subnet of the load balancer's network")
    return _Way(by_network=True)


def _servers_with(selector: str) -> sql.Composable:
    tests = conditions(parse_selector(selector), sql.SQL("s.labels"))
    return sql.SQL("SELECT {} AS selector, s.id FROM servers s WHERE s.project_id = %(project)s AND {}").format(
        sql.Literal(selector), sql.SQL(" AND ").join(tests)
    )
