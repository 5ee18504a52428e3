"""The verdict: when all is calm, nothing is lost, nothing is there twice, all is terminal and nothing leaks."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from infra.db import ledger
from infra.db.pool import Connection
from tests.fix_region import Region, held
from tests.storm.lives import Fate, Life

MAY_FAIL = frozenset({"host_unavailable", "host_failure", "resource_unavailable", "unavailable", "timeout"})
"""What a storm may do to a create that nothing else is wrong with: a clear code that says whose fault it was."""

RUNNING_ACTIONS = "SELECT command, server_id FROM actions WHERE project_id = %s AND status = 'running'"
SERVERS = "SELECT id, status, locked_by FROM servers WHERE project_id = %s"
HOLDS = """
SELECT server_id, 'a claim' AS hold FROM claims c JOIN hosts h ON h.id = c.host_id WHERE h.location_id = %(location)s
UNION ALL SELECT server_id, 'quota' FROM quota_reservations WHERE project_id = %(project)s
UNION ALL SELECT server_id, 'an ' || a.type FROM addresses a JOIN address_pools p ON p.id = a.pool_id
          WHERE p.location_id = %(location)s AND server_id IS NOT NULL
"""
TOMBSTONES = """
SELECT server_id, host_id FROM tombstones t JOIN hosts h ON h.id = t.host_id WHERE h.location_id = %s
"""
CREATED = """
SELECT server_id FROM actions
WHERE project_id = %s AND server_id > %s AND command = 'create_server' AND status = 'success'
"""


async def newest_server(region: Region) -> int:
    """The id that was given last."""
    row = await region.one("SELECT coalesce(max(server_id), 0) AS id FROM actions")
    assert row is not None
    return int(row["id"])


async def unsettled(region: Region, kept: Collection[int]) -> list[str]:
    """All that is not as it should be when only ``kept`` run; it may still become so."""
    async with region.pool.connection() as connection:
        found = [
            *await _unfinished(connection, region),
            *await ledger.imbalances(connection),
            *await _servers(connection, region, set(kept)),
            *await _held_without_a_server(connection, region, set(kept)),
            *await _on_hosts(connection, region),
        ]
    told = region.client.list_workflows(f"Location = '{region.location}' AND ExecutionStatus = 'Running'")
    return found + [f"the story {story.id} goes on" async for story in told]


async def _unfinished(connection: Connection, region: Region) -> list[str]:
    running = await (await connection.execute(RUNNING_ACTIONS, (region.project_id,))).fetchall()
    buried = await (await connection.execute(TOMBSTONES, (region.location_id,))).fetchall()
    return [f"{row['command']} of server {row['server_id']} goes on" for row in running] + [
        f"host {row['host_id']} has still to forget server {row['server_id']}" for row in buried
    ]


async def _servers(connection: Connection, region: Region, kept: set[int]) -> list[str]:
    rows = {row["id"]: row for row in await (await connection.execute(SERVERS, (region.project_id,))).fetchall()}
    return (
        [f"server {id} is lost" for id in kept - rows.keys()]
        + [f"server {id} is nobody's" for id in rows.keys() - kept]
        + [f"server {id} is {row['status']}" for id, row in rows.items() if row["status"] != "running"]
        + [f"server {id} is locked" for id, row in rows.items() if row["locked_by"] is not None]
    )


async def _held_without_a_server(connection: Connection, region: Region, kept: set[int]) -> list[str]:
    parameters = {"location": region.location_id, "project": region.project_id}
    rows = await (await connection.execute(HOLDS, parameters)).fetchall()
    return [f"{row['hold']} is held by server {row['server_id']}" for row in rows if row["server_id"] not in kept]


async def _on_hosts(connection: Connection, region: Region) -> list[str]:
    """Every host holds what its claims say, all parts of it, and it runs: so no server is on two hosts either."""
    wrong = []
    for host_id, host in region.hosts.items():
        claimed, inventory = await ledger.held_by_host(connection, host_id), host.inventory()
        wrong += [f"host {host_id} holds a part of server {id}, which is not its own" for id in held(host) - claimed]
        for part in ("disks", "seeds", "ports"):
            wrong += [f"host {host_id} lacks of server {id} its {part}" for id in claimed - getattr(inventory, part)]
        wrong += [f"host {host_id} does not run server {id}" for id in claimed if not inventory.machines.get(id)]
    return wrong


async def wrongs_of(region: Region, lives: Collection[Life], after: int) -> list[str]:
    """What can never be made good: a life that ended as it must not, and a server that was made for nobody.

    ``after``: the newest server id before the first of these lives.
    """
    wrong = [f"{life.name} ({life.fate.value}): {text}" for life in lives for text in (*life.wrongs, *_misfits(life))]
    async with region.pool.connection() as connection:
        rows = await (await connection.execute(CREATED, (region.project_id, after))).fetchall()
    made, known = {row["server_id"] for row in rows}, {life.server_id for life in lives}
    wrong += [f"server {server_id} was made and nobody was told" for server_id in made - known]
    return wrong + _had_twice(lives)


def _misfits(life: Life) -> list[str]:
    fits = {
        Fate.KEPT: {"runs", *MAY_FAIL},
        Fate.DELETED: {"deleted", *MAY_FAIL},
        Fate.CUT_SHORT: {"deleted", *MAY_FAIL},
        Fate.TOO_LARGE: {"resource_limit_exceeded"},
        Fate.NO_IMAGE: {"image_unreadable", *MAY_FAIL},
    }
    return [] if life.outcome in fits[life.fate] else [f"it ended with {life.outcome or 'nothing'}"]


def _had_twice(lives: Collection[Life]) -> list[str]:
    """Addresses, and ids, that two servers had at the same time."""
    wrong = []
    ran = [life for life in lives if life.outcome in ("runs", "deleted") and life.fate is not Fate.CUT_SHORT]
    for one, other in itertools.combinations(ran, 2):
        if one.told < other.given_up and other.told < one.given_up:
            wrong += [f"{one.name} and {other.name} have {both}" for both in {*one.addresses} & {*other.addresses}]
        if one.server_id == other.server_id:
            wrong.append(f"{one.name} and {other.name} are both server {one.server_id}")
    return wrong
