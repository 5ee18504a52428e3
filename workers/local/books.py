"""What the books of an instance begin with: a location, its plans and pools, its host and edge, and somebody to ask."""

from __future__ import annotations

import hashlib
import platform

from infra.catalog.default import ensure_catalogue
from infra.config import Settings
from infra.db import edges, hosts, keys
from infra.db.built_images import NewImage
from infra.db.edges import NewEdge
from infra.db.hosts import NewHost
from infra.db.pool import Connection, Pool
from infra.db.pools import ensure_pool
from workers.local.place import Place, write_private

USER, PROJECT = "admin", "default"


async def furnish(pool: Pool, settings: Settings, place: Place) -> None:
    """Converge on the defaults; what an operator changed since stays. No host yet."""
    async with pool.connection() as connection:
        location_id = await ensure_catalogue(connection, settings.location)
        for cidr in settings.address_pools:
            await ensure_pool(connection, location_id, cidr)
        await _ensure_token(connection, keys.server_secret(settings), place)


async def furnish_host(pool: Pool, settings: Settings) -> None:
    """The one host of this machine, and its edge."""
    secret = keys.server_secret(settings)
    digest = keys.digest_of(secret, settings.host_key)
    async with pool.connection() as connection:
        location_id = await ensure_catalogue(connection, settings.location)
        host = NewHost(settings.host_id, f"{platform.node() or 'host'}-{settings.host_id}", location_id, digest)
        await hosts.register_host(connection, host)
        edge_digest = keys.digest_of(secret, settings.edge_key)
        edge = NewEdge(f"{platform.node() or 'edge'}-{settings.edge_id}", location_id, edge_digest, settings.edge_id)
        await edges.register_edge(connection, edge)


SIMULATED_IMAGE = NewImage(
    "tiny", hashlib.sha256(b"simulated tiny").hexdigest(), 1, "Tiny (simulated: there is nothing in it)"
)


async def _ensure_token(connection: Connection, secret: bytes, place: Place) -> None:
    """A key of our own, kept so that the next run can print it; a new one when the books do not know it."""
    if place.token.exists():
        known = await keys.caller_of(connection, keys.digest_of(secret, place.token.read_text().strip()))
        if known is not None:
            return
    key = await keys.make_key(connection, secret, user=USER, project=PROJECT, name="puchify up")
    write_private(place.token, key + "\n")
