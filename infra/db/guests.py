"""What a guest may know of itself, as the books have it: under the claim of its host, and for nobody else."""

from __future__ import annotations

from infra.db import hosts, port_plans
from infra.db.pool import Connection
from infra.domain.metadata import Guest, KnownNetwork

EPOCH = "SELECT epoch FROM claims WHERE host_id = %s AND server_id = %s"

PLACE = """
SELECT l.network_zone AS region,
       coalesce((SELECT d.name FROM datacenters d WHERE d.location_id = l.id ORDER BY d.id LIMIT 1), l.name) AS zone
FROM servers s JOIN locations l ON l.id = s.location_id
WHERE s.id = %s
"""

NETWORKS = """
SELECT m.id, n.name, coalesce((SELECT b.ip_range::text FROM subnets b
                               WHERE b.network_id = n.id AND m.ip::inet << b.ip_range), n.ip_range::text) AS subnet
FROM members m JOIN networks n ON n.id = m.network_id
WHERE m.server_id = %s
"""


async def guest_of(connection: Connection, host_id: int, server_id: int) -> Guest | None:
    """None unless the host has a claim on the server."""
    claim = await (await connection.execute(EPOCH, (host_id, server_id))).fetchone()
    if claim is None:
        return None
    claimed = await hosts.seed_of_claim(connection, host_id, server_id, claim["epoch"])
    plan = await port_plans.plan_of(connection, host_id, server_id, claim["epoch"])
    place = await (await connection.execute(PLACE, (server_id,))).fetchone()
    if claimed is None or plan is None or place is None:
        return None  # it went in between
    networks = await (await connection.execute(NETWORKS, (server_id,))).fetchall()
    return Guest(
        plan=plan,
        hostname=claimed.machine.name,
        ssh_keys=tuple(claimed.ssh_keys),
        user_data=claimed.user_data,
        has_agent=claimed.machine.image.has_agent,
        availability_zone=place["zone"],
        region=place["region"],
        networks=tuple(KnownNetwork(row["id"], row["name"], row["subnet"]) for row in networks),
    )
