"""Addresses: pools are stocked ahead of need, a server takes free ones without waiting, and a used one rests first.

Taking is one guarded UPDATE that skips the rows others are taking, so a hundred orders at once do not queue. UNIQUE
constraints stand behind it: no address is held twice, no server holds two of a type. A server's addresses are those of
its primary IPs; those that it was not ordered with are made and go with it.
"""

from __future__ import annotations

from typing import Literal

from infra.db.pool import Connection
from infra.domain.addressing import nth_address
from infra.domain.errors import ResourceUnavailable
from infra.domain.models import Addresses, ServerOrder

Type = Literal["ipv4", "ipv6"]
Holder = Literal["primary_ip_id", "load_balancer_id"]

STOCK = 256
"""Addresses a pool is stocked with at a time."""

FREE = """
    SELECT a.id FROM addresses a JOIN address_pools p ON p.id = a.pool_id JOIN locations l ON l.id = p.location_id
    WHERE {wanted} AND l.name = %(location)s AND a.type = {type} AND NOT a.held
      AND (a.released IS NULL OR a.released < now() - make_interval(secs => %(rest)s))
    ORDER BY a.released NULLS FIRST, a.id LIMIT 1 FOR UPDATE OF a {skip}
"""
LACKS = """
%(want_{type})s AND NOT EXISTS (SELECT FROM addresses x WHERE x.server_id = %(server_id)s AND x.type = '{type}')
"""
NAME = """
'primary_ip-' || t.primary_ip_id || CASE WHEN EXISTS (
    SELECT FROM primary_ips x WHERE x.project_id = %(project_id)s AND x.name = 'primary_ip-' || t.primary_ip_id
) THEN '-' || gen_random_uuid() ELSE '' END
"""
"""Owners may give names of that form as well: Terraform's provider does. Who gives it in this moment has the step
fail by its UNIQUE, and the next attempt counts on."""
SKIPPING, PATIENT = "SKIP LOCKED", ""


def _for_server(skip: str) -> str:
    """What a server lacks is taken, each with a primary IP that lives as long as the server."""
    v4, v6 = (FREE.format(wanted=LACKS.format(type=one), type=f"'{one}'", skip=skip) for one in ("ipv4", "ipv6"))
    return f"""
    WITH v4 AS MATERIALIZED ({v4}), v6 AS MATERIALIZED ({v6}), taken AS MATERIALIZED (
        SELECT id, nextval('primary_ips_id_seq') AS primary_ip_id FROM (TABLE v4 UNION ALL TABLE v6) free
    ), made AS (
        INSERT INTO primary_ips (id, project_id, name, type, location_id, auto_delete)
        OVERRIDING SYSTEM VALUE
        SELECT t.primary_ip_id, %(project_id)s, {NAME}, a.type, p.location_id, true
        FROM taken t JOIN addresses a USING (id) JOIN address_pools p ON p.id = a.pool_id
    )
    UPDATE addresses a SET server_id = %(server_id)s, primary_ip_id = t.primary_ip_id, released = NULL
    FROM taken t WHERE a.id = t.id
    """


def _for(holder: str, skip: str) -> str:
    """One for a primary IP or a load balancer of its owner's own."""
    free = FREE.format(wanted="true", type="%(type)s", skip=skip)
    return f"UPDATE addresses SET {holder} = %(holder)s, released = NULL WHERE id = ({free}) RETURNING address"


POOL = """
SELECT p.id, p.cidr::text, p.next_index, p.last_index
FROM address_pools p JOIN locations l ON l.id = p.location_id
WHERE l.name = %(location)s AND p.type = %(type)s AND p.next_index <= p.last_index
ORDER BY p.id LIMIT 1 FOR UPDATE OF p
"""

UNUSED = "SELECT id FROM addresses WHERE pool_id = %(pool_id)s AND NOT held AND released IS NULL LIMIT 1"


async def assign(connection: Connection, order: ServerOrder, rest: float) -> Addresses:
    """The server's addresses, those it holds kept and those it lacks taken. ResourceUnavailable: a pool is empty."""
    parameters = {
        "location": order.location,
        "server_id": order.server_id,
        "project_id": order.project_id,
        "want_ipv4": order.want_ipv4,
        "want_ipv6": order.want_ipv6,
        "rest": rest,
    }
    wishes: list[tuple[Type, bool]] = [("ipv4", order.want_ipv4), ("ipv6", order.want_ipv6)]
    wanted = [type_ for type_, is_wanted in wishes if is_wanted]
    for skip in (SKIPPING, SKIPPING, PATIENT):
        await connection.execute(_for_server(skip).encode(), parameters)
        held = await of_server(connection, order.server_id)
        missing = [type_ for type_ in wanted if type_ not in held]
        if not missing:
            return await with_members(connection, order.server_id)
        for type_ in missing:
            await stock(connection, order.location, type_)
    raise _none_free(missing[0], order.location)


async def take(connection: Connection, holder: Holder, id: int, location: str, type: Type, rest: float) -> str:
    """A free address for a primary IP or a load balancer of that id. ResourceUnavailable: the pool is empty."""
    parameters = {"holder": id, "location": location, "type": type, "rest": rest}
    for skip in (SKIPPING, SKIPPING, PATIENT):
        row = await (await connection.execute(_for(holder, skip).encode(), parameters)).fetchone()
        if row:
            return str(row["address"])
        await stock(connection, location, type)
    raise _none_free(type, location)


def _none_free(type: str, location: str) -> ResourceUnavailable:
    name = {"ipv4": "IPv4", "ipv6": "IPv6"}[type]
    return ResourceUnavailable(f"no {name} address is free in location {location} now")


async def of_server(connection: Connection, server_id: int) -> dict[str, str]:
    query = "SELECT type, address FROM addresses WHERE server_id = %s"
    rows = await (await connection.execute(query, (server_id,))).fetchall()
    return {row["type"]: row["address"] for row in rows}


async def with_members(connection: Connection, server_id: int) -> Addresses:
    """All that a machine needs to know of the server's addresses."""
    held = await of_server(connection, server_id)
    found = await connection.execute("SELECT id FROM network_members WHERE server_id = %s ORDER BY id", (server_id,))
    return Addresses(held.get("ipv4"), held.get("ipv6"), tuple(row["id"] for row in await found.fetchall()))


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


STAYS = "s.status = 'initializing' AND p.created < s.created"
"""Of a primary IP: it was there before its server, which may come to nothing."""


async def release(connection: Connection, server_id: int) -> None:
    """Take the server's addresses from it; holding none is fine. Those of primary IPs that go with it come to rest.

    Of a create that came to nothing, what was there before it stays, whatever it is.
    """
    await connection.execute(RELEASE, {"server_id": server_id})


RELEASE = f"""
WITH left_ AS (
    SELECT a.id, CASE WHEN p.auto_delete AND NOT ({STAYS}) THEN p.id END AS going, a.primary_ip_id
    FROM addresses a JOIN servers s ON s.id = a.server_id LEFT JOIN primary_ips p ON p.id = a.primary_ip_id
    WHERE a.server_id = %(server_id)s FOR UPDATE OF a
), freed AS (
    UPDATE addresses a SET server_id = NULL,
        primary_ip_id = nullif(a.primary_ip_id, left_.going),
        released = CASE WHEN left_.primary_ip_id IS NOT DISTINCT FROM left_.going THEN now() END
    FROM left_ WHERE a.id = left_.id
)
DELETE FROM primary_ips WHERE id IN (SELECT going FROM left_)
"""


async def release_held(connection: Connection, holder: Holder, id: int) -> bool:
    """What a primary IP or a load balancer of that id held comes to rest. False: it holds none, or a server has it."""
    query = f"UPDATE addresses SET {holder} = NULL, released = now() WHERE {holder} = %s AND server_id IS NULL"
    return (await connection.execute(query.encode(), (id,))).rowcount > 0
