"""How targets do, as the edges that serve them say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from psycopg.types.json import Jsonb

from infra.db.edges import SILENT
from infra.db.pool import Connection
from infra.domain.edge_plan import Backend, HealthStatus
from infra.domain.edge_reports import HealthPart

# Load balancers that somebody is changing are passed over: the next report is in two seconds.
KEEP = """
WITH own AS MATERIALIZED (
    SELECT id FROM load_balancers WHERE edge_id = %(edge_id)s FOR KEY SHARE SKIP LOCKED
), told AS MATERIALIZED (
    SELECT t.* FROM jsonb_to_recordset(%(told)s)
    AS t (load_balancer_id bigint, listen_port integer, address text, by_network boolean, status text)
    JOIN own ON own.id = t.load_balancer_id
), gone AS (
    DELETE FROM load_balancer_health h USING own
    WHERE own.id = h.load_balancer_id
      AND (h.load_balancer_id, h.listen_port) > (%(after_id)s, %(after_port)s)
      AND (h.load_balancer_id, h.listen_port) <= (%(upto_id)s, %(upto_port)s)
      AND NOT EXISTS (
        SELECT FROM told t WHERE (t.load_balancer_id, t.listen_port, t.address, t.by_network)
                               = (h.load_balancer_id, h.listen_port, h.address, h.by_network))
)
INSERT INTO load_balancer_health AS h (load_balancer_id, listen_port, address, by_network, status)
SELECT DISTINCT ON (1, 2, 3, 4) load_balancer_id, listen_port, address, by_network, status FROM told ORDER BY 1, 2, 3, 4
ON CONFLICT (load_balancer_id, listen_port, address, by_network) DO UPDATE
SET status = excluded.status, since = now() WHERE h.status <> excluded.status
"""

# What an edge that is silent has said is not known any more.
OF = """
SELECT h.load_balancer_id, h.listen_port, h.address, h.by_network, h.status
FROM load_balancer_health h JOIN load_balancers b ON b.id = h.load_balancer_id JOIN edges e ON e.id = b.edge_id
WHERE h.load_balancer_id = ANY(%s) AND e.reported > now() - %s
"""

HealthOf = Mapping[tuple[int, int, Backend], HealthStatus]
"""By load balancer, port and backend; who is not there is unknown."""


async def keep(connection: Connection, edge_id: int, told: HealthPart) -> None:
    """What the edge says of that range; of load balancers that are not its own (any more) nothing is kept."""
    marks = dict(zip(("after_id", "after_port", "upto_id", "upto_port"), (*told.after, *told.upto), strict=True))
    values = {"edge_id": edge_id, "told": Jsonb([asdict(one) for one in told.health]), **marks}
    await connection.execute(KEEP, values)


async def of(connection: Connection, ids: Sequence[int]) -> HealthOf:
    rows = await (await connection.execute(OF, (list(ids), SILENT))).fetchall()
    return {
        (row["load_balancer_id"], row["listen_port"], Backend(row["address"], row["by_network"])): row["status"]
        for row in rows
    }
