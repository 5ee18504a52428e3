"""Members of networks: which servers and load balancers are in one, with which addresses.

An address is taken under the network's lock and is unique in it by a constraint, so that two never get the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra.db.networks import KIND, in_zone
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput, QuotaExceeded
from infra.domain.networks import MOST_NETWORKS, Subnet, is_usable, mac_of, reserved, subnet_of_address
from infra.domain.refusals import (
    IpNotAvailable,
    LoadBalancerAlreadyAttached,
    LoadBalancerNotAttachedToNetwork,
    NoSubnetAvailable,
    ServerAlreadyAttached,
)

GROUND = """
SELECT n.ip_range::text, s.ip_range::text AS subnet, s.network_zone, s.type
FROM networks n LEFT JOIN subnets s ON s.network_id = n.id WHERE n.id = %s ORDER BY s.ip_range
"""

# The lowest that is free comes right after one that is not: after a reserved one, which the first of a subnet is. A
# subnet that is full is not looked through.
FIRST_FREE = """
SELECT host(c.ip) AS ip FROM (
    SELECT r.ip + 1 AS ip FROM unnest(%(reserved)s::inet[]) r (ip)
    UNION ALL
    SELECT a.ip + 1 FROM network_addresses a
    WHERE a.network_id = %(network_id)s AND a.ip >= %(first)s::inet AND a.ip < %(last)s::inet
) c
WHERE c.ip < %(last)s::inet AND c.ip > %(first)s::inet AND c.ip <> ALL (%(reserved)s::inet[])
  AND %(usable)s > (SELECT count(*) FROM network_addresses h WHERE h.network_id = %(network_id)s
                    AND h.ip > %(first)s::inet AND h.ip < %(last)s::inet)
  AND NOT EXISTS (SELECT FROM network_addresses t WHERE t.network_id = %(network_id)s AND t.ip = c.ip)
ORDER BY c.ip LIMIT 1
"""

HOLD = """
INSERT INTO network_addresses (network_id, ip, member_id, is_alias)
SELECT %s, ip, %s, is_alias FROM unnest(%s::inet[], %s::boolean[]) held (ip, is_alias)
"""


LEAVE_BEHIND = """
INSERT INTO network_leavers (action_id, server_id)
SELECT %s, server_id FROM network_members WHERE network_id = %s AND server_id IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is, or is to be, in a network; ``network_zone`` is its location's."""

    network_zone: str
    server_id: int | None = None
    load_balancer_id: int | None = None

    @property
    def column(self) -> str:
        return "server_id" if self.server_id is not None else "load_balancer_id"

    @property
    def id(self) -> int:
        return self.server_id or self.load_balancer_id or 0


@dataclass(frozen=True, slots=True)
class Member:
    network_id: int
    server_id: int | None
    load_balancer_id: int | None
    ip: str
    aliases: list[str]
    mac_address: str


@dataclass(frozen=True, slots=True)
class Wish:
    """Where in the network: an address, or the first free one of a subnet or of any; and further addresses."""

    ip: IPv4Address | None = None
    ip_range: IPv4Network | None = None
    aliases: tuple[IPv4Address, ...] = ()


ANYWHERE = Wish()


async def join(
    connection: Connection, project_id: int, network_id: int, holder: Holder, wish: Wish = ANYWHERE
) -> Member:
    """NotFound: no such network. ServerAlreadyAttached, IpNotAvailable, NoSubnetAvailable, InvalidInput, QuotaExceeded:
    a server is in as many as it may be."""
    if holder.server_id is not None:  # who puts it into another network at this moment is waited for
        await connection.execute("SELECT FROM servers WHERE id = %s FOR NO KEY UPDATE", (holder.server_id,))
    await KIND.lock(connection, project_id, network_id)
    network = await _ground(connection, network_id)
    row = await (await connection.execute(_insert(holder), {"network": network_id, "holder": holder.id})).fetchone()
    if row is None:
        raise _already(holder)
    if row["others"] >= MOST_NETWORKS:
        limit = {
            "name": "server_limit",
            "resource": "networks",
            "limit": MOST_NETWORKS,
            "used": row["others"],
            "asked": 1,
        }
        raise QuotaExceeded(f"a server is in at most {MOST_NETWORKS} networks", {"limits": [limit]})
    ip = await _choose(connection, network, holder, wish)
    await _check_aliases(connection, network, (ip, *wish.aliases), wish.aliases)
    await _hold(connection, network_id, row["id"], [(ip, False), *((alias, True) for alias in wish.aliases)])
    aliases = [str(alias) for alias in sorted(wish.aliases)]
    return Member(network_id, holder.server_id, holder.load_balancer_id, str(ip), aliases, mac_of(row["id"]))


async def leave(connection: Connection, project_id: int, network_id: int, holder: Holder) -> None:
    """InvalidInput, or LoadBalancerNotAttachedToNetwork: it is not in there."""
    await KIND.lock(connection, project_id, network_id)
    query = f"DELETE FROM network_members WHERE network_id = %s AND {holder.column} = %s"
    if (await connection.execute(query.encode(), (network_id, holder.id))).rowcount == 0:
        raise _not_in(holder, network_id)


async def leave_behind(connection: Connection, action_id: int, network_id: int) -> None:
    """The servers that are in a network which that action deletes: they are its to be looked after until it ends."""
    await connection.execute(LEAVE_BEHIND, (action_id, network_id))


async def change_aliases(
    connection: Connection, project_id: int, network_id: int, holder: Holder, aliases: Sequence[IPv4Address]
) -> None:
    """Replaces all it had."""
    await KIND.lock(connection, project_id, network_id)
    network = await _ground(connection, network_id)
    query = f"SELECT id FROM network_members WHERE network_id = %s AND {holder.column} = %s"
    row = await (await connection.execute(query.encode(), (network_id, holder.id))).fetchone()
    if row is None:
        raise _not_in(holder, network_id)
    await connection.execute("DELETE FROM network_addresses WHERE member_id = %s AND is_alias", (row["id"],))
    await _check_aliases(connection, network, aliases, aliases)
    await _hold(connection, network_id, row["id"], [(alias, True) for alias in aliases])


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where addresses are taken: a network without those who are in it, who may be thousands."""

    id: int
    ip_range: IPv4Network
    subnets: tuple[Subnet, ...]


async def _ground(connection: Connection, network_id: int) -> _Ground:
    found = await connection.execute(GROUND, (network_id,))
    rows = await found.fetchall()
    subnets = tuple(
        Subnet(IPv4Network(row["subnet"]), row["network_zone"], row["type"]) for row in rows if row["subnet"]
    )
    return _Ground(network_id, IPv4Network(rows[0]["ip_range"]), subnets)


def _insert(holder: Holder) -> bytes:
    return f"""
    INSERT INTO network_members (network_id, {holder.column}) VALUES (%(network)s, %(holder)s)
    ON CONFLICT (network_id, {holder.column}) DO NOTHING
    RETURNING id, (SELECT count(*) FROM network_members o WHERE o.{holder.column} = %(holder)s) AS others
    """.encode()


async def _choose(connection: Connection, network: _Ground, holder: Holder, wish: Wish) -> IPv4Address:
    subnets = in_zone(network.subnets, holder.network_zone)
    if wish.ip_range is not None:
        subnets = [one for one in subnets if one.ip_range == wish.ip_range]
        if not subnets:
            raise InvalidInput.field("ip_range", f"the network has no subnet {wish.ip_range} in that network zone")
    if not subnets:
        raise NoSubnetAvailable(f"the network has no subnet in network zone {holder.network_zone}")
    if wish.ip is None:
        for one in subnets:
            if ip := await _first_free(connection, network, one.ip_range):
                return ip
        raise IpNotAvailable("no address is free in the network's subnets")
    subnet = subnet_of_address(subnets, wish.ip)
    if subnet is None:
        raise InvalidInput.field("ip", f"{wish.ip} is in none of the network's subnets there")
    if not is_usable(network.ip_range, subnet.ip_range, wish.ip) or await _taken(connection, network.id, [wish.ip]):
        raise IpNotAvailable(f"{wish.ip} is taken or reserved")
    return wish.ip


async def _first_free(connection: Connection, network: _Ground, subnet: IPv4Network) -> IPv4Address | None:
    """The lowest that a server may be given."""
    kept_back = {str(ip) for ip in reserved(network.ip_range, subnet) if ip in subnet}
    values = {
        "network_id": network.id,
        "reserved": list(kept_back),
        "usable": subnet.num_addresses - len(kept_back),
        "first": str(subnet.network_address),
        "last": str(subnet.broadcast_address),
    }
    row = await (await connection.execute(FIRST_FREE, values)).fetchone()
    return IPv4Address(row["ip"]) if row else None


async def _check_aliases(
    connection: Connection, network: _Ground, wanted: Sequence[IPv4Address], aliases: Sequence[IPv4Address]
) -> None:
    """``wanted``: all that the member is to have, in which no address may come twice."""
    if len(set(aliases)) != len(aliases):
        raise InvalidInput.field("alias_ips", "must not name an address twice")
    taken = await _taken(connection, network.id, aliases) if aliases else set()
    for alias in aliases:
        subnet = subnet_of_address(network.subnets, alias)
        if subnet is None:
            raise InvalidInput.field("alias_ips", f"{alias} is in none of the network's subnets")
        if alias in taken or wanted.count(alias) > 1 or not is_usable(network.ip_range, subnet.ip_range, alias):
            raise IpNotAvailable(f"{alias} is taken or reserved")


async def _hold(
    connection: Connection, network_id: int, member_id: int, addresses: Sequence[tuple[IPv4Address, bool]]
) -> None:
    ips, are_aliases = [str(ip) for ip, _ in addresses], [is_alias for _, is_alias in addresses]
    await connection.execute(HOLD, (network_id, member_id, ips, are_aliases))


async def _taken(connection: Connection, network_id: int, among: Sequence[IPv4Address]) -> set[IPv4Address]:
    query = "SELECT host(ip) AS ip FROM network_addresses WHERE network_id = %s AND ip = ANY(%s::inet[])"
    found = await connection.execute(query, (network_id, [str(ip) for ip in among]))
    return {IPv4Address(row["ip"]) for row in await found.fetchall()}


def member_of(row: Mapping[str, Any]) -> Member:
    """From a row of the view, or from one as JSON."""
    holders = row["server_id"], row["load_balancer_id"]
    return Member(row["network_id"], *holders, row["ip"], row["aliases"], mac_of(row["id"]))


def _already(holder: Holder) -> Exception:
    if holder.server_id is not None:
        return ServerAlreadyAttached("server is attached to this network already")
    return LoadBalancerAlreadyAttached("load balancer is attached to this network already")


def _not_in(holder: Holder, network_id: int) -> Exception:
    if holder.server_id is not None:
        return InvalidInput.field("network", f"server is not attached to network {network_id}")
    return LoadBalancerNotAttachedToNetwork(f"load balancer is not attached to network {network_id}")
