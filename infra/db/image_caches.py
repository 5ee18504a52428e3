"""Image caches as operators read them: what each host said of its own with its last report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.db.pool import Connection


@dataclass(frozen=True, slots=True)
class KeptImage:
    """``name`` None: the books do not know it (any more). ``last_use``: to the hour."""

    digest: str
    name: str | None
    mib: int
    last_use: datetime
    in_use: bool


@dataclass(frozen=True, slots=True)
class HostCache:
    """``limit_gib`` None: the host says nothing of a cache. The image used last comes first."""

    host_id: int
    host: str
    limit_gib: int | None
    images: list[KeptImage]


CACHES = """
SELECT h.id, h.name, coalesce(d.facts, '{}') AS facts
FROM hosts h LEFT JOIN host_details d ON d.host_id = h.id
WHERE %(host)s::bigint IS NULL OR h.id = %(host)s
ORDER BY h.id
"""

NAMES = """
SELECT DISTINCT ON (digest) digest, coalesce(name, description) AS name FROM images
WHERE digest = ANY(%s) ORDER BY digest, superseded IS NOT NULL, id
"""


async def caches(connection: Connection, host_id: int | None = None) -> list[HostCache]:
    """Of all hosts, or of one."""
    told = await (await connection.execute(CACHES, {"host": host_id})).fetchall()
    digests = {digest for row in told for digest in row["facts"].get("image_mib", ())}
    found = await (await connection.execute(NAMES, (list(digests),))).fetchall()
    names = {row["digest"]: row["name"] for row in found}
    return [
        HostCache(row["id"], row["name"], row["facts"].get("image_cache_gib"), _kept(row["facts"], names))
        for row in told
    ]


def _kept(facts: Mapping[str, Any], names: Mapping[str, str]) -> list[KeptImage]:
    used, in_use = facts.get("image_used", {}), facts.get("image_in_use", {})
    kept = [
        KeptImage(
            digest,
            names.get(digest),
            mib,
            datetime.fromtimestamp(used.get(digest, 0), UTC),
            bool(in_use.get(digest, False)),
        )
        for digest, mib in facts.get("image_mib", {}).items()
    ]
    return sorted(kept, key=lambda image: (image.last_use, image.digest), reverse=True)
