"""What placement decides on: the hosts of the location now, and what of the order's own project stands on which."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

from infra.db.pool import Connection
from infra.db.warm_hosts import WarmHosts
from infra.domain.host_table import UNKNOWN, HostTable
from infra.domain.models import Claim, PlacementRequest
from infra.domain.placement import Ask

SERVER = """
SELECT s.epoch AS newest, s.placement_group_id, c.host_id, c.epoch
FROM servers s LEFT JOIN claims c ON c.server_id = s.id WHERE s.id = %(server_id)s
"""

NEIGHBOURS = """
SELECT host_id, count(*)::int AS servers,
       count(*) FILTER (WHERE placement_group_id = (
           SELECT placement_group_id FROM servers WHERE id = %(server_id)s))::int AS of_group
FROM claims WHERE project_id = %(project_id)s AND server_id <> %(server_id)s GROUP BY host_id ORDER BY host_id
"""


@dataclass(frozen=True, slots=True)
class Situation:
    """``claim``: held already, since an earlier try took effect and its answer was lost. ``late``: the server is gone,
    or a newer claim was made or given back; this one is not wanted any more."""

    hosts: HostTable
    ask: Ask
    claim: Claim | None
    late: bool


async def look(connection: Connection, warm: WarmHosts, request: PlacementRequest) -> Situation:
    """In one round trip."""
    order = request.order
    about = {"server_id": order.server_id, "project_id": order.project_id}
    moment = await warm.look(connection, (SERVER, about), (NEIGHBOURS, about))
    servers, elsewhere_too = moment.rows
    here = moment.hosts.rows(row["host_id"] for row in elsewhere_too) != UNKNOWN
    neighbours = list(compress(elsewhere_too, here))
    server = servers[0] if servers else None
    grouped = server is not None and server["placement_group_id"] is not None
    ask = Ask(
        architecture=order.image.architecture,
        resources=order.resources,
        now=moment.now,
        density_target=moment.density_target,
        excluded=request.excluded_hosts,
        neighbours=tuple((row["host_id"], row["servers"]) for row in neighbours),
        group=tuple((row["host_id"], row["of_group"]) for row in neighbours if row["of_group"]) if grouped else None,
    )
    claim = None
    if server is not None and server["epoch"] == request.epoch:
        claim = Claim(order.server_id, server["host_id"], server["epoch"])
    late = server is None or (claim is None and server["newest"] >= request.epoch)
    return Situation(moment.hosts, ask, claim, late)
