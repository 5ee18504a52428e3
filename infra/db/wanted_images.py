"""Images as hosts see them: which are worth having before they are ordered."""

from __future__ import annotations

from infra.db.pool import Connection
from infra.domain.models import Image

MOST = 100  # images that a host is told of

# System images first, in the order of their use here: each may be ordered by anybody at any time. Then what projects
# have made servers of in this location within the last week.
WANTED = """
SELECT i.id, coalesce(i.name, i.description) AS name, i.digest, i.architecture, i.disk_gib, i.has_agent
FROM hosts h
JOIN images i ON i.architecture = h.architecture
LEFT JOIN (
    SELECT location_id, image_id, count(*) AS uses FROM servers WHERE created > now() - interval '7 days' GROUP BY 1, 2
) used ON (used.location_id, used.image_id) = (h.location_id, i.id)
WHERE h.id = %(host_id)s AND i.digest IS NOT NULL AND i.status = 'available' AND i.deleted IS NULL
  AND i.superseded IS NULL AND i.doubted IS NULL AND i.quarantined IS NULL
  AND (i.deprecated IS NULL OR i.deprecated > now()) AND (i.project_id IS NULL OR used.uses > 0)
ORDER BY (i.project_id IS NULL) DESC, coalesce(used.uses, 0) DESC, i.id
LIMIT %(most)s
"""


async def of_host(connection: Connection, host_id: int) -> list[Image]:
    """The most wanted first, each digest once."""
    rows = await (await connection.execute(WANTED, {"host_id": host_id, "most": MOST})).fetchall()
    wanted = dict[str, Image]()
    for row in rows:
        wanted.setdefault(row["digest"], Image(**row))
    return list(wanted.values())
