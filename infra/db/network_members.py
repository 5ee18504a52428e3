"""Members of networks: which servers and load balancers are in one, with which addresses.

An address is unique in its network by a constraint, so that two never get the same one. Who names one takes it under
the network's lock. Who is content with any shares that lock with others: each passes over what another is taking in
this moment, so that a hundred orders at once do not queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from psycopg.rows import DictRow

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

LOCK = "SELECT id FROM networks WHERE id = %(network)s AND project_id = %(project)s FOR {strength}"
ALONE, SHARED = "UPDATE", "KEY SHARE"

GROUND = """
SELECT n.ip_range::text, s.ip_range::text AS subnet, s.network_zone, s.type
FROM networks n LEFT JOIN subnets s ON s.network_id = n.id WHERE n.id = %s ORDER BY s.ip_range
"""

ENTER = """
INSERT INTO network_members (network_id, {column})
SELECT id, %(holder)s FROM networks WHERE id = %(network)s AND project_id = %(project)s
ON CONFLICT (network_id, {column}) DO NOTHING
RETURNING id, (SELECT count(*) FROM network_members o WHERE o.{column} = %(holder)s) AS others
"""

LOOK = 64
"""Addresses that may be on their way to others: more who join at once wait for one of them."""

# The lowest that are free come right after one that is not: after a reserved one, which the first of a subnet is. One
# that another is taking is locked until it is in the books, or free again; are all of them, the first is waited for.
# A subnet that is full is counted, and not looked through.
TAKE = """
WITH free AS MATERIALIZED (
    SELECT gap.after + n AS ip FROM (
        SELECT ip AS after, lead(ip) OVER (ORDER BY ip) AS before FROM (
            SELECT ip FROM network_addresses
            WHERE network_id = %(network)s AND ip > %(first)s::inet AND ip < %(last)s::inet
            UNION ALL SELECT unnest(%(reserved)s::inet[])
        ) not_free
    ) gap, generate_series(1, least(gap.before - gap.after - 1, %(look)s)) n
    WHERE gap.before > gap.after + 1 AND %(usable)s > (
        SELECT count(*) FROM network_addresses WHERE network_id = %(network)s
        AND ip > %(first)s::inet AND ip < %(last)s::inet AND ip <> ALL (%(reserved)s::inet[])
    )
    ORDER BY gap.after, n LIMIT %(look)s
), chosen AS MATERIALIZED (
    (SELECT ip FROM free WHERE pg_try_advisory_xact_lock(hashtextextended(host(ip), %(network)s)) LIMIT 1)
    UNION ALL (SELECT ip FROM free LIMIT 1) LIMIT 1
), taken AS (
    INSERT INTO network_addresses (network_id, ip, member_id, is_alias)
    SELECT %(network)s, ip, %(member)s, false FROM chosen
    ON CONFLICT (network_id, ip) DO NOTHING RETURNING ip
)
SELECT (SELECT host(ip) FROM taken) AS ip, EXISTS (TABLE free) AS more
"""

HOLD = """
INSERT INTO network_addresses (network_id, ip, member_id, is_alias)
SELECT %s, ip, %s, %s FROM unnest(%s::inet[]) held (ip)
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
    lock = ALONE if wish.ip or wish.aliases else SHARED
    network, entered = await _enter(connection, project_id, network_id, holder, lock)
    if entered is None:
        raise _already(holder)
    if entered["others"] >= MOST_NETWORKS:
        limit = {
            "name": "server_limit",
            "resource": "networks",
            "limit": MOST_NETWORKS,
            "used": entered["others"],
            "asked": 1,
        }
        raise QuotaExceeded(f"a server is in at most {MOST_NETWORKS} networks", {"limits": [limit]})
    member_id = entered["id"]
    await _take_aliases(connection, network, member_id, wish.aliases)  # first: any address may be one that they name
    ip = await _take(connection, network, member_id, holder, wish)
    aliases = [str(alias) for alias in sorted(wish.aliases)]
    return Member(network_id, holder.server_id, holder.load_balancer_id, str(ip), aliases, mac_of(member_id))


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
    await _take_aliases(connection, network, row["id"], aliases)


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where addresses are taken: a network without those who are in it, who may be thousands."""

    id: int
    ip_range: IPv4Network
    subnets: tuple[Subnet, ...]


async def _enter(
    connection: Connection, project_id: int, network_id: int, holder: Holder, lock: str
) -> tuple[_Ground, DictRow | None]:
    """The network, locked, and the new member; None: it is one already. NotFound."""
    values = {"network": network_id, "project": project_id, "holder": holder.id}
    async with connection.pipeline():
        if holder.server_id is not None:  # who puts it into another network at this moment is waited for
            await connection.execute("SELECT FROM servers WHERE id = %s FOR NO KEY UPDATE", (holder.server_id,))
        locked = await connection.execute(LOCK.format(strength=lock).encode(), values)
        ground = await connection.execute(GROUND, (network_id,))
        entered = await connection.execute(ENTER.format(column=holder.column).encode(), values)
    if await locked.fetchone() is None:
        raise KIND.unknown(network_id)
    return _ground_of(network_id, await ground.fetchall()), await entered.fetchone()


async def _ground(connection: Connection, network_id: int) -> _Ground:
    return _ground_of(network_id, await (await connection.execute(GROUND, (network_id,))).fetchall())


def _ground_of(network_id: int, rows: Sequence[DictRow]) -> _Ground:
    subnets = tuple(
        Subnet(IPv4Network(row["subnet"]), row["network_zone"], row["type"]) for row in rows if row["subnet"]
    )
    return _Ground(network_id, IPv4Network(rows[0]["ip_range"]), subnets)


async def _take(connection: Connection, network: _Ground, member_id: int, holder: Holder, wish: Wish) -> IPv4Address:
    """The member's own address."""
    subnets = in_zone(network.subnets, holder.network_zone)
    if wish.ip_range is not None:
        subnets = [one for one in subnets if one.ip_range == wish.ip_range]
        if not subnets:
            raise InvalidInput.field("ip_range", f"the network has no subnet {wish.ip_range} in that network zone")
    if not subnets:
        raise NoSubnetAvailable(f"the network has no subnet in network zone {holder.network_zone}")
    if wish.ip is None:
        for one in subnets:
            if ip := await _take_first_free(connection, network, one.ip_range, member_id):
                return ip
        raise IpNotAvailable("no address is free in the network's subnets")
    subnet = subnet_of_address(subnets, wish.ip)
    if subnet is None:
        raise InvalidInput.field("ip", f"{wish.ip} is in none of the network's subnets there")
    if not is_usable(network.ip_range, subnet.ip_range, wish.ip) or await _taken(connection, network.id, [wish.ip]):
        raise IpNotAvailable(f"{wish.ip} is taken or reserved")
    await connection.execute(HOLD, (network.id, member_id, False, [str(wish.ip)]))
    return wish.ip


async def _take_first_free(
    connection: Connection, network: _Ground, subnet: IPv4Network, member_id: int
) -> IPv4Address | None:
    """The lowest that a server may be given and nobody else is being given."""
    nobodys = {ip for ip in reserved(network.ip_range, subnet) if ip in subnet}
    values = {
        "network": network.id,
        "member": member_id,
        "reserved": [str(ip) for ip in nobodys],
        "usable": subnet.num_addresses - len(nobodys),
        "first": str(subnet.network_address),
        "last": str(subnet.broadcast_address),
        "look": LOOK,
    }
    while row := await (await connection.execute(TAKE, values)).fetchone():
        if row["ip"] is not None:
            return IPv4Address(row["ip"])
        if not row["more"]:
            break  # else another was faster, and the books say so by now
    return None


async def _take_aliases(
    connection: Connection, network: _Ground, member_id: int, aliases: Sequence[IPv4Address]
) -> None:
    """Beside its own address."""
    if len(set(aliases)) != len(aliases):
        raise InvalidInput.field("alias_ips", "must not name an address twice")
    taken = await _taken(connection, network.id, aliases) if aliases else set()
    for alias in aliases:
        subnet = subnet_of_address(network.subnets, alias)
        if subnet is None:
            raise InvalidInput.field("alias_ips", f"{alias} is in none of the network's subnets")
        if alias in taken or not is_usable(network.ip_range, subnet.ip_range, alias):
            raise IpNotAvailable(f"{alias} is taken or reserved")
    if aliases:
        await connection.execute(HOLD, (network.id, member_id, True, [str(alias) for alias in aliases]))


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
