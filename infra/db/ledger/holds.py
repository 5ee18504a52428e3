"""Every hold and its holder: what the books give a server, and what hosts say that they keep of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infra.db.pool import Connection

HOLDS = """
SELECT 'quota' AS kind, server_id, NULL::bigint AS host_id,
       format('%s cores, %s MiB, %s GiB', cores, memory_mib, disk_gib) AS what, NULL::timestamptz AS since
FROM quota_reservations
UNION ALL
SELECT 'claim', server_id, host_id, format('%s cores, %s MiB, %s GiB', cores, memory_mib, disk_gib), created
FROM claims
UNION ALL
SELECT 'address', server_id, NULL, address, NULL FROM addresses WHERE server_id IS NOT NULL
UNION ALL
SELECT 'lock', s.id, NULL, format('action %s', s.locked_by), a.started
FROM servers s LEFT JOIN actions a ON a.id = s.locked_by WHERE s.locked_by IS NOT NULL
UNION ALL
SELECT 'parts', server_id, host_id, array_to_string(parts, ', '), since FROM host_holdings
"""

OF_SERVER = f"SELECT * FROM ({HOLDS.replace('%', '%%')}) held WHERE server_id = %s ORDER BY kind, host_id, what"

BY_HOST = "SELECT server_id FROM claims WHERE host_id = %s"


@dataclass(frozen=True, slots=True)
class Hold:
    """``kind``: quota, claim, address, lock, or parts, which is what ``host_id`` last said. ``since``: if known."""

    kind: str
    server_id: int
    host_id: int | None
    what: str
    since: datetime | None


async def held_by_server(connection: Connection, server_id: int) -> list[Hold]:
    """All that is held for a server, whether it lives or not."""
    found = await connection.execute(OF_SERVER.encode(), (server_id,))
    return [Hold(**row) for row in await found.fetchall()]


async def held_by_host(connection: Connection, host_id: int) -> set[int]:
    """The servers that may have something on this host."""
    rows = await (await connection.execute(BY_HOST, (host_id,))).fetchall()
    return {row["server_id"] for row in rows}
