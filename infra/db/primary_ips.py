"""Primary IPs: public addresses of a project, assigned to a server or kept for one.

The address itself is a row of ``addresses``, which knows whose it is: that row's guarded update assigns and takes away,
so that two servers never have one address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from infra.db import addresses, load_balancer_targets
from infra.db.addresses import Type
from infra.db.dns_ptr import keep_ptr
from infra.db.listing import Found, Window
from infra.db.locations import Location, location_of
from infra.db.named import Kind, Wanted
from infra.db.pool import Connection
from infra.domain.dns_ptr import covers
from infra.domain.errors import InvalidInput, NotFound
from infra.domain.refusals import (
    MustBeUnassigned,
    PrimaryIpAlreadyAssigned,
    PrimaryIpAssigned,
    PrimaryIpDatacenterMismatch,
    PrimaryIpVersionMismatch,
    ServerHasIpv4,
    ServerHasIpv6,
    ServerIsLoadBalancerTarget,
    ServerNotStopped,
)

SELECT = sql.SQL("""
SELECT r.id, r.name, r.type, r.auto_delete, r.protected, r.dns_ptr, r.labels, r.created, a.address,
       a.server_id, to_jsonb(l) AS location
FROM primary_ips r JOIN addresses a ON a.primary_ip_id = r.id JOIN locations l ON l.id = r.location_id""")

ADDRESS = sql.SQL("JOIN addresses a ON a.primary_ip_id = r.id")
KEPT = sql.SQL(f"""
NOT r.auto_delete OR NOT EXISTS (
    SELECT FROM addresses a JOIN servers s ON s.id = a.server_id JOIN primary_ips p ON p.id = a.primary_ip_id
    WHERE p.id = r.id AND NOT ({addresses.STAYS})
)
""")
"""Those that a project keeps; the others go with their server, and how many servers there are has limits of its own."""
IS_KEPT = sql.SQL("SELECT {} AS kept FROM primary_ips r WHERE r.id = %s AND r.project_id = %s").format(KEPT)
BY_IP = sql.SQL("a.address IN (%(ip)s, %(ip)s || '/64')")


@dataclass(frozen=True, slots=True)
class PrimaryIp:
    """``address``: an IPv4 address or an IPv6 network (/64). ``dns_ptr``: names that were set, by address."""

    id: int
    name: str
    type: Type
    auto_delete: bool
    protected: bool
    dns_ptr: dict[str, str]
    labels: dict[str, str]
    created: datetime
    address: str
    server_id: int | None
    location: Location


@dataclass(frozen=True, slots=True)
class NewPrimaryIp:
    project_id: int
    name: str
    type: Type
    location_id: int
    location: str
    auto_delete: bool
    labels: dict[str, str]


def _primary_ip(row: DictRow) -> PrimaryIp:
    return PrimaryIp(**{**row, "location": location_of(row["location"])})


KIND = Kind("primary_ips", "primary IP", SELECT, _primary_ip, sortable=("id", "created"))


async def find_all(connection: Connection, wanted: Wanted, ip: str | None, window: Window) -> Found[PrimaryIp]:
    """``ip``: the address as it is shown, an IPv6 network also without its /64."""
    by_ip = (BY_IP,) if ip is not None else ()
    return await KIND.find_all(connection, replace(wanted, more=by_ip, params={"ip": ip}, joined=ADDRESS), window)


async def keep_room(connection: Connection, project_id: int, most: int, id: int | None = None) -> None:
    """For a new one, or for ``id`` that goes with its server by now. QuotaExceeded: it keeps as many as it may."""
    if id is not None:
        found = await (await connection.execute(IS_KEPT, (id, project_id))).fetchone()
        if found is None:
            raise KIND.unknown(id)
        if found["kept"]:
            return
    await KIND.keep_room(connection, project_id, most, KEPT)


async def create(connection: Connection, new: NewPrimaryIp, rest: float) -> int:
    """With an address of the location's pool; its id. ResourceUnavailable: none is free. UniquenessError."""
    values = {
        "project_id": new.project_id,
        "name": new.name,
        "type": new.type,
        "location_id": new.location_id,
        "auto_delete": new.auto_delete,
        "labels": Jsonb(new.labels),
    }
    id = await KIND.insert(connection, values)
    await addresses.take(connection, "primary_ip_id", id, new.location, new.type, rest)
    return id


async def update(
    connection: Connection,
    project_id: int,
    id: int,
    name: str | None,
    labels: dict[str, str] | None,
    auto_delete: bool | None,
) -> PrimaryIp:
    """None keeps what is there. InvalidInput: one that is protected cannot go with its server."""
    async with connection.transaction():
        found = await KIND.locked(connection, project_id, id)
        if auto_delete and found.protected:
            raise InvalidInput.field("auto_delete", "must be false while deletion is protected")
        return await KIND.update(connection, project_id, id, name, labels, auto_delete=auto_delete)


async def protect(connection: Connection, project_id: int, id: int, protected: bool | None) -> None:
    found = await KIND.locked(connection, project_id, id)
    if protected and found.auto_delete:
        raise InvalidInput.field("delete", "a primary IP that goes with its server cannot be protected: auto_delete")
    await KIND.protect(connection, project_id, id, protected)


async def delete(connection: Connection, project_id: int, id: int) -> None:
    """Its address comes to rest. MustBeUnassigned, Protected."""
    async with connection.transaction():
        found = await KIND.locked(connection, project_id, id)
        # An order takes an address without the lock, by its row alone: one that came meanwhile has it.
        assigned = found.server_id is not None
        if not assigned and not found.protected:
            assigned = not await addresses.release_held(connection, "primary_ip_id", id)
        if assigned:
            raise MustBeUnassigned("primary IP must be unassigned before it is deleted")
        await KIND.delete(connection, project_id, id)


async def set_ptr(connection: Connection, project_id: int, id: int, ip: str, name: str | None) -> None:
    """None takes the name back. InvalidInput: the address is not of this primary IP."""
    found = await KIND.locked(connection, project_id, id)
    if not covers(found.address, ip):
        raise InvalidInput.field("ip", f"{ip} is not an address of this primary IP")
    await keep_ptr(connection, KIND, id, ip, name)


async def of_server_with(connection: Connection, project_id: int, server_id: int, ip: str) -> int:
    """The primary IP of the server that the address is of. InvalidInput: none; NotFound: no such server."""
    found = await connection.execute(
        "SELECT s.id, a.primary_ip_id, a.address FROM servers s LEFT JOIN addresses a ON a.server_id = s.id"
        " WHERE s.id = %s AND s.project_id = %s",
        (server_id, project_id),
    )
    rows = await found.fetchall()
    if not rows:
        raise NotFound.of("server", server_id)
    for row in rows:
        if row["address"] and covers(row["address"], ip):
            return int(row["primary_ip_id"])
    raise InvalidInput.field("ip", f"{ip} is not a public address of this server")


async def give(connection: Connection, project_id: int, id: int, type: Type, server_id: int, location_id: int) -> None:
    """To a server that is being ordered, in its order's transaction. NotFound is the caller's to have checked."""
    found = await KIND.get(connection, project_id, id)
    if found.type != type:
        raise PrimaryIpVersionMismatch(f"primary IP {id} is an {found.type} address, not {type}")
    if found.location.id != location_id:
        raise PrimaryIpDatacenterMismatch(f"primary IP {id} is in location {found.location.name}, the server is not")
    if not await _assign(connection, id, server_id):
        raise PrimaryIpAssigned(f"primary IP {id} is assigned already")


async def assign(connection: Connection, project_id: int, id: int, server_id: int) -> None:
    """To a server that is off and has no such address. InvalidInput: there is no such server in its location."""
    found = await KIND.locked(connection, project_id, id)
    server = await _stopped(connection, project_id, server_id)
    if server["location_id"] != found.location.id:
        raise InvalidInput.field("assignee_id", f"server {server_id} is not in location {found.location.name}")
    if found.server_id is not None:
        raise PrimaryIpAlreadyAssigned("primary IP is assigned already")
    held = await addresses.of_server(connection, server_id)
    if found.type in held:
        has = ServerHasIpv4 if found.type == "ipv4" else ServerHasIpv6
        raise has(f"server {server_id} has an {found.type} address already")
    if not await _assign(connection, id, server_id):  # an order has taken it meanwhile
        raise PrimaryIpAlreadyAssigned("primary IP is assigned already")
    await _want(connection, server_id, found.type, True)


async def unassign(connection: Connection, project_id: int, id: int) -> int:
    """From its server, which must be off; the server's id. InvalidInput: it is not assigned.

    ServerIsLoadBalancerTarget: a load balancer sends to that address.
    """
    found = await KIND.locked(connection, project_id, id)
    if found.server_id is None:
        raise InvalidInput.field("id", "primary IP is not assigned")
    await _stopped(connection, project_id, found.server_id)
    if await load_balancer_targets.reaches(connection, found.server_id, found.type):
        raise ServerIsLoadBalancerTarget(f"server {found.server_id} is a target of a load balancer by this address")
    await connection.execute("UPDATE addresses SET server_id = NULL WHERE primary_ip_id = %s", (id,))
    await _want(connection, found.server_id, found.type, False)
    return found.server_id


async def _stopped(connection: Connection, project_id: int, server_id: int) -> DictRow:
    """The server, kept as it is until the transaction ends."""
    query = "SELECT location_id, status FROM servers WHERE id = %s AND project_id = %s FOR UPDATE"
    row = await (await connection.execute(query, (server_id, project_id))).fetchone()
    if row is None:
        raise InvalidInput.field("assignee_id", f"server {server_id} does not exist")
    if row["status"] != "off":
        raise ServerNotStopped(f"server {server_id} must be off: it is {row['status']}")
    return row


async def _assign(connection: Connection, id: int, server_id: int) -> bool:
    done = await connection.execute(
        "UPDATE addresses SET server_id = %s WHERE primary_ip_id = %s AND server_id IS NULL", (server_id, id)
    )
    return done.rowcount == 1


async def _want(connection: Connection, server_id: int, type: Type, wanted: bool) -> None:
    values: dict[str, Any] = {"id": server_id, "wanted": wanted}
    query = sql.SQL("UPDATE servers SET {} = %(wanted)s WHERE id = %(id)s").format(sql.Identifier(f"want_{type}"))
    await connection.execute(query, values)
