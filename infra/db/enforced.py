"""Firewalls in force: which of them guard a server by now, as the host of its claim told it.

The host tells first and the books look afterwards, each by itself: whoever changes firewalls writes that first and then
looks who has them. Whichever comes second sees the other, so that no server keeps what it should have no more.
"""

from __future__ import annotations

from collections.abc import Collection

from infra.db import port_plans
from infra.db.pool import Connection

STANDS = """
SELECT FROM claims WHERE host_id = %(host)s AND server_id = %(server)s AND epoch = %(epoch)s FOR KEY SHARE
"""
FORGET = """
DELETE FROM enforced_firewalls
WHERE server_id = %(server)s AND NOT (firewall_id = ANY(%(firewalls)s) AND epoch = %(epoch)s)
"""
KEEP = """
INSERT INTO enforced_firewalls (server_id, firewall_id, epoch)
SELECT %(server)s, id, %(epoch)s FROM unnest(%(firewalls)s::bigint[]) id ON CONFLICT DO NOTHING
"""


async def tell(
    connection: Connection, host_id: int, server_id: int, epoch: int, firewalls: Collection[int]
) -> bool | None:
    """These firewalls guard the server, and no others. Whether they are those that shall by now; None: the host holds
    no such claim (any more), and nothing is kept."""
    told = {"host": host_id, "server": server_id, "epoch": epoch, "firewalls": sorted(set(firewalls))}
    async with connection.transaction():
        if (await connection.execute(STANDS, told)).rowcount == 0:
            return None
        await connection.execute(FORGET, told)
        await connection.execute(KEEP, told)
    plan = await port_plans.plan_of(connection, host_id, server_id, epoch)
    return None if plan is None else set(plan.firewalls) == set(firewalls)


async def guarded_by(connection: Connection, firewall_id: int) -> list[int]:
    """The servers that have it in force."""
    query = "SELECT server_id FROM enforced_firewalls WHERE firewall_id = %s ORDER BY server_id"
    return [row["server_id"] for row in await (await connection.execute(query, (firewall_id,))).fetchall()]
