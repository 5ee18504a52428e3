"""Address pools: the networks out of which a location's servers get their addresses."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

from infra.db.pool import Connection
from infra.domain.addressing import last_index


async def ensure_pool(connection: Connection, location_id: int, cidr: str) -> None:
    """Let the location hand out the network's addresses; one that it has stays as it is. ValueError: no network."""
    kind: Literal["ipv4", "ipv6"] = "ipv4" if ip_network(cidr).version == 4 else "ipv6"
    await connection.execute(
        "INSERT INTO address_pools (location_id, type, cidr, last_index) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (location_id, cidr) DO NOTHING",
        (location_id, kind, cidr, last_index(cidr, kind)),
    )


async def pools(connection: Connection) -> list[str]:
    """The networks of all pools."""
    found = await connection.execute("SELECT cidr::text AS cidr FROM address_pools ORDER BY id")
    return [row["cidr"] for row in await found.fetchall()]
