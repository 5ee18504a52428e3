"""Members of networks: which servers and load balancers are in one, with which addresses.

An address is taken under the network's lock and is unique in it by a constraint, so that two never get the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra.db.networks import KIND, Network, in_zone
from infra.db.pool import Connection
from infra.domain.errors import InvalidInput
from infra.domain.networks import free_addresses, is_usable, mac_of, subnet_of_address
from infra.domain.refusals import (
    IpNotAvailable,
    LoadBalancerAlreadyAttached,
    LoadBalancerNotAttachedToNetwork,
    NoSubnetAvailable,
    ServerAlreadyAttached,
)

MEMBERS = "SELECT * FROM members m"


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
    """NotFound: no such network. ServerAlreadyAttached, IpNotAvailable, NoSubnetAvailable, InvalidInput."""
    network = await KIND.locked(connection, project_id, network_id)
    if await _member(connection, network_id, holder):
        raise _already(holder)
    taken = await _taken(connection, network_id)
    ip = _choose(network, holder, wish, taken)
    _check_aliases(network, wish.aliases, taken | {ip})
    row = await (
        await connection.execute(
            f"INSERT INTO network_members (network_id, {holder.column}) VALUES (%s, %s) RETURNING id".encode(),
            (network_id, holder.id),
        )
    ).fetchone()
    assert row is not None, "INSERT ... RETURNING returns a row or raises"
    await _hold(connection, network_id, row["id"], [(ip, False), *((alias, True) for alias in wish.aliases)])
    member = await _member(connection, network_id, holder)
    assert member is not None, "it has just joined"
    return member


async def leave(connection: Connection, project_id: int, network_id: int, holder: Holder) -> None:
    """InvalidInput, or LoadBalancerNotAttachedToNetwork: it is not in there."""
    await KIND.lock(connection, project_id, network_id)
    query = f"DELETE FROM network_members WHERE network_id = %s AND {holder.column} = %s"
    if (await connection.execute(query.encode(), (network_id, holder.id))).rowcount == 0:
        raise _not_in(holder, network_id)


async def change_aliases(
    connection: Connection, project_id: int, network_id: int, holder: Holder, aliases: Sequence[IPv4Address]
) -> None:
    """Replaces all it had."""
    network = await KIND.locked(connection, project_id, network_id)
    query = f"SELECT id FROM network_members WHERE network_id = %s AND {holder.column} = %s"
    row = await (await connection.execute(query.encode(), (network_id, holder.id))).fetchone()
    if row is None:
        raise _not_in(holder, network_id)
    await connection.execute("DELETE FROM network_addresses WHERE member_id = %s AND is_alias", (row["id"],))
    _check_aliases(network, tuple(aliases), await _taken(connection, network_id))
    await _hold(connection, network_id, row["id"], [(alias, True) for alias in aliases])


def _choose(network: Network, holder: Holder, wish: Wish, taken: set[IPv4Address]) -> IPv4Address:
    subnets = in_zone(network.subnets, holder.network_zone)
    if wish.ip_range is not None:
        subnets = [one for one in subnets if one.ip_range == wish.ip_range]
        if not subnets:
            raise InvalidInput.field("ip_range", f"the network has no subnet {wish.ip_range} in that network zone")
    if not subnets:
        raise NoSubnetAvailable(f"the network has no subnet in network zone {holder.network_zone}")
    if wish.ip is None:
        free = (ip for one in subnets for ip in free_addresses(network.ip_range, one.ip_range, taken))
        if (ip := next(free, None)) is None:
            raise IpNotAvailable("no address is free in the network's subnets")
        return ip
    subnet = subnet_of_address(subnets, wish.ip)
    if subnet is None:
        raise InvalidInput.field("ip", f"{wish.ip} is in none of the network's subnets there")
    if wish.ip in taken or not is_usable(network.ip_range, subnet.ip_range, wish.ip):
        raise IpNotAvailable(f"{wish.ip} is taken or reserved")
    return wish.ip


def _check_aliases(network: Network, aliases: tuple[IPv4Address, ...], taken: set[IPv4Address]) -> None:
    if len(set(aliases)) != len(aliases):
        raise InvalidInput.field("alias_ips", "must not name an address twice")
    for alias in aliases:
        subnet = subnet_of_address(network.subnets, alias)
        if subnet is None:
            raise InvalidInput.field("alias_ips", f"{alias} is in none of the network's subnets")
        if alias in taken or not is_usable(network.ip_range, subnet.ip_range, alias):
            raise IpNotAvailable(f"{alias} is taken or reserved")


async def _hold(
    connection: Connection, network_id: int, member_id: int, addresses: Sequence[tuple[IPv4Address, bool]]
) -> None:
    for ip, is_alias in addresses:
        await connection.execute(
            "INSERT INTO network_addresses (network_id, ip, member_id, is_alias) VALUES (%s, %s, %s, %s)",
            (network_id, ip, member_id, is_alias),
        )


async def _taken(connection: Connection, network_id: int) -> set[IPv4Address]:
    found = await connection.execute(
        "SELECT host(ip) AS ip FROM network_addresses WHERE network_id = %s", (network_id,)
    )
    return {IPv4Address(row["ip"]) for row in await found.fetchall()}


async def _member(connection: Connection, network_id: int, holder: Holder) -> Member | None:
    query = f"{MEMBERS} WHERE m.network_id = %s AND m.{holder.column} = %s"
    row = await (await connection.execute(query.encode(), (network_id, holder.id))).fetchone()
    return member_of(row) if row else None


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
