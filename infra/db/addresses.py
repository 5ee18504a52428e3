"""Addresses: pools hand them out in order, and one that was used comes back after its rest.

A new address is taken by moving its pool's counter, an old one by a guarded UPDATE that skips rows which others are
taking. UNIQUE constraints stand behind both: no address is held twice.
"""

from __future__ import annotations

from typing import Literal

from infra.db.pool import Connection
from infra.domain.addressing import nth_address
from infra.domain.errors import ResourceUnavailable
from infra.domain.models import Addresses, ServerOrder

Type = Literal["ipv4", "ipv6"]

NEXT_NEW = """
UPDATE address_pools SET next_index = next_index + 1
WHERE id = (
    SELECT p.id FROM address_pools p JOIN locations l ON l.id = p.location_id
    WHERE l.name = %(location)s AND p.type = %(type)s AND p.next_index <= p.last_index
    ORDER BY p.id LIMIT 1 FOR UPDATE OF p
)
RETURNING id, cidr::text, next_index - 1 AS index
"""

RESTED = """
UPDATE addresses SET server_id = %(server_id)s, released = NULL
WHERE id = (
    SELECT a.id FROM addresses a JOIN address_pools p ON p.id = a.pool_id JOIN locations l ON l.id = p.location_id
    WHERE l.name = %(location)s AND a.type = %(type)s AND a.server_id IS NULL
      AND a.released < now() - make_interval(secs => %(rest)s)
    ORDER BY a.released LIMIT 1 FOR UPDATE OF a SKIP LOCKED
)
RETURNING address
"""


async def assign(connection: Connection, order: ServerOrder, rest: float) -> Addresses:
    """The server's addresses, those it holds kept and those it lacks taken. ResourceUnavailable: a pool is exhausted."""
    held = await of_server(connection, order.server_id)
    wanted: list[tuple[Type, bool]] = [("ipv4", order.want_ipv4), ("ipv6", order.want_ipv6)]
    for type_, is_wanted in wanted:
        if is_wanted and type_ not in held:
            held[type_] = await _take(connection, order, type_, rest)
    return Addresses(ipv4=held.get("ipv4"), ipv6_network=held.get("ipv6"))


async def of_server(connection: Connection, server_id: int) -> dict[str, str]:
    query = "SELECT type, address FROM addresses WHERE server_id = %s"
    rows = await (await connection.execute(query, (server_id,))).fetchall()
    return {row["type"]: row["address"] for row in rows}


async def _take(connection: Connection, order: ServerOrder, type_: Type, rest: float) -> str:
    """A new one while there are any: that leaves the used ones the longest rest."""
    parameters = {"location": order.location, "type": type_, "server_id": order.server_id, "rest": rest}
    pool = await (await connection.execute(NEXT_NEW, parameters)).fetchone()
    if pool is not None:
        address = nth_address(pool["cidr"], pool["index"])
        await connection.execute(
            "INSERT INTO addresses (pool_id, type, address, server_id) VALUES (%s, %s, %s, %s)",
            (pool["id"], type_, address, order.server_id),
        )
        return address
    row = await (await connection.execute(RESTED, parameters)).fetchone()
    if row is None:
        name = {"ipv4": "IPv4", "ipv6": "IPv6"}[type_]
        raise ResourceUnavailable(f"no {name} address is free in location {order.location} now")
    return str(row["address"])


async def release(connection: Connection, server_id: int) -> None:
    """Put the server's addresses to rest; holding none is fine."""
    await connection.execute(
        "UPDATE addresses SET server_id = NULL, released = now() WHERE server_id = %s", (server_id,)
    )
