"""What the books of a test's region begin with: its location, pools, image and caller, and the hosts it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from infra.catalog.default import ensure_catalogue
from infra.config import Settings
from infra.db import hosts, keys, reports
from infra.db.built_images import NewImage, register_image
from infra.db.hosts import NewHost
from infra.db.pool import Connection, Pool
from infra.domain.addressing import last_index
from infra.domain.models import HostReport, Resources

DIGEST = "a" * 64


@dataclass(frozen=True, slots=True)
class Furnished:
    """``token``: of the user, for the project; both are called as the location is."""

    location_id: int
    project_id: int
    user_id: int
    token: str
    server_type_id: int
    image_id: int


async def furnish(settings: Settings, pool: Pool, name: str, ipv4_prefix: int) -> Furnished:
    async with pool.connection() as connection:
        location_id = await ensure_catalogue(connection, name)
        await _add_pools(connection, location_id, ipv4_prefix)
        image = NewImage("tiny", DIGEST, 1, "a test image", has_agent=True)
        image_id = await register_image(connection, image)
        token = await keys.make_key(connection, keys.server_secret(settings), user=name, project=name, name="test")
        # Servers of tests are in the networks that the tests put them in; tests/api/test_default_network.py has others.
        await connection.execute("UPDATE projects SET default_network = false WHERE name = %s", (name,))
        row = await (
            await connection.execute(
                "SELECT u.id AS user_id, p.id AS project_id, t.id AS type_id FROM users u, projects p, server_types t"
                " WHERE u.name = %s AND p.name = %s AND t.name = 'px1'",
                (name, name),
            )
        ).fetchone()
    assert row is not None
    return Furnished(location_id, row["project_id"], row["user_id"], token, row["type_id"], image_id)


async def furnish_host(
    settings: Settings, pool: Pool, location: str, location_id: int, room: Resources, key_of: Callable[[int], str]
) -> int:
    """The host's id. ``key_of``: the key of a host of that id."""
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT nextval('hosts_id_seq') AS id")).fetchone()
        assert row is not None
        host_id = int(row["id"])
        digest = keys.digest_of(keys.server_secret(settings), key_of(host_id))
        await hosts.register_host(connection, NewHost(host_id, f"{location}-{host_id}", location_id, digest))
        await reports.record_report(connection, HostReport(host_id, room.cores, room.memory_mib, room.disk_gib))
    return host_id


async def _add_pools(connection: Connection, location_id: int, ipv4_prefix: int) -> None:
    pools: list[tuple[str, Literal["ipv4", "ipv6"]]] = [
        (f"10.{location_id >> 8}.{location_id & 255}.0/{ipv4_prefix}", "ipv4"),
        (f"2001:db8:{location_id:x}::/48", "ipv6"),
    ]
    for cidr, kind in pools:
        await connection.execute(
            "INSERT INTO address_pools (location_id, type, cidr, last_index) VALUES (%s, %s, %s, %s)",
            (location_id, kind, cidr, last_index(cidr, kind)),
        )
