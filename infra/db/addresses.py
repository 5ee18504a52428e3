"""Addresses: pools are stocked ahead of need, a server takes free ones without waiting, and a used one rests first.

Taking is one guarded UPDATE that skips the rows others are taking, so a hundred orders at once do not queue. UNIQUE
constraints stand behind it: no address is held twice, no server holds two of a type.
"""

from __future__ import annotations

from typing import Literal

from infra.db.pool import Connection
from infra.domain.addressing import nth_address
from infra.domain.errors import ResourceUnavailable
from infra.domain.models import Addresses, ServerOrder

Type = Literal["ipv4", "ipv6"]

STOCK = 256
"""Addresses a pool is stocked with at a time."""

FREE = """
    SELECT a.id FROM addresses a JOIN address_pools p ON p.id = a.pool_id JOIN locations l ON l.id = p.location_id
    WHERE %(want_{type})s AND l.name = %(location)s AND a.type = '{type}' AND a.server_id IS NULL
      AND (a.released IS NULL OR a.released < now() - make_interval(secs => %(rest)s))
      AND NOT EXISTS (SELECT FROM addresses held WHERE held.server_id = %(server_id)s AND held.type = '{type}')
    ORDER BY a.released NULLS FIRST, a.id LIMIT 1 FOR UPDATE OF a {skip}
"""

TAKE, TAKE_PATIENTLY = (
    f"""
WITH v4 AS MATERIALIZED ({FREE.format(type="ipv4", skip=skip)}),
     v6 AS MATERIALIZED ({FREE.format(type="ipv6", skip=skip)})
UPDATE addresses SET server_id = %(server_id)s, released = NULL
WHERE id IN (SELECT id FROM v4 UNION ALL SELECT id FROM v6)
"""
    for skip in ("SKIP LOCKED", "")
)

POOL = """
SELECT p.id, p.cidr::text, p.next_index, p.last_index
FROM address_pools p JOIN locations l ON l.id = p.location_id
WHERE l.name = %(location)s AND p.type = %(type)s AND p.next_index <= p.last_index
ORDER BY p.id LIMIT 1 FOR UPDATE OF p
"""

UNUSED = "SELECT id FROM addresses WHERE pool_id = %(pool_id)s AND server_id IS NULL AND released IS NULL LIMIT 1"


async def assign(connection: Connection, order: ServerOrder, rest: float) -> Addresses:
    """The server's addresses, those it holds kept and those it lacks taken. ResourceUnavailable: a pool is empty."""
    parameters = {
        "location": order.location,
        "server_id": order.server_id,
        "want_ipv4": order.want_ipv4,
        "want_ipv6": order.want_ipv6,
        "rest": rest,
    }
    wishes: list[tuple[Type, bool]] = [("ipv4", order.want_ipv4), ("ipv6", order.want_ipv6)]
    wanted = [type_ for type_, is_wanted in wishes if is_wanted]
    for take in (TAKE, TAKE, TAKE_PATIENTLY):
        await connection.execute(take.encode(), parameters)
        held = await of_server(connection, order.server_id)
        missing = [type_ for type_ in wanted if type_ not in held]
        if not missing:
            return Addresses(ipv4=held.get("ipv4"), ipv6_network=held.get("ipv6"))
        for type_ in missing:
            await stock(connection, order.location, type_)
    name = {"ipv4": "IPv4", "ipv6": "IPv6"}[missing[0]]
    raise ResourceUnavailable(f"no {name} address is free in location {order.location} now")


async def of_server(connection: Connection, server_id: int) -> dict[str, str]:
    query = "SELECT type, address FROM addresses WHERE server_id = %s"
    rows = await (await connection.execute(query, (server_id,))).fetchall()
    return {row["type"]: row["address"] for row in rows}


async def stock(connection: Connection, location: str, type_: Type) -> None:
    """Write the next addresses of the location's pool down as free, unless others did so in the meantime."""
    async with connection.transaction():
        found = await connection.execute(POOL, {"location": location, "type": type_})
        pool = await found.fetchone()
        if pool is None or await (await connection.execute(UNUSED, {"pool_id": pool["id"]})).fetchone():
            return
        until = min(pool["next_index"] + STOCK, pool["last_index"] + 1)
        fresh = [nth_address(pool["cidr"], index) for index in range(pool["next_index"], until)]
        await connection.execute("UPDATE address_pools SET next_index = %s WHERE id = %s", (until, pool["id"]))
        await connection.execute(
            "INSERT INTO addresses (pool_id, type, address) SELECT %s, %s, unnest(%s::text[])",
            (pool["id"], type_, fresh),
        )


async def release(connection: Connection, server_id: int) -> None:
    """Put the server's addresses to rest; holding none is fine."""
    await connection.execute(
        "UPDATE addresses SET server_id = NULL, released = now() WHERE server_id = %s", (server_id,)
    )
