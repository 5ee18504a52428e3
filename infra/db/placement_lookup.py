"""Placements as operators look them up: what one was decided on then, or what would be decided now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infra.db import placement_inputs, situations
from infra.db.orders import load_order
from infra.db.pool import Connection
from infra.db.warm_hosts import WarmHosts
from infra.domain.errors import Conflict, NotFound
from infra.domain.models import PlacementRequest
from infra.domain.placement import Ranking, rank

NEVER = 2**31 - 1
"""An epoch that no claim has."""


@dataclass(frozen=True, slots=True)
class Kept:
    """``names``: of hosts, now. ``host_id`` None: no host fitted."""

    ranking: Ranking
    names: dict[int, str]
    host_id: int | None
    epoch: int
    created: datetime


@dataclass(frozen=True, slots=True)
class Now:
    ranking: Ranking
    names: dict[int, str]


async def server_of(connection: Connection, word: str) -> int:
    """By its id, of a server that is gone as well, or by its name. NotFound. Conflict: projects share the name."""
    if word.isascii() and word.isdigit():
        return int(word)
    found = await connection.execute(
        "SELECT s.id, p.name AS project FROM servers s JOIN projects p ON p.id = s.project_id WHERE s.name = %s"
        " ORDER BY s.id",
        (word,),
    )
    servers = await found.fetchall()
    if not servers:
        raise NotFound(f"there is no server {word}")
    if len(servers) > 1:
        told = ", ".join(f"{row['id']} (project {row['project']})" for row in servers)
        raise Conflict(f"several servers are called {word}: {told}")
    return int(servers[0]["id"])


async def kept(connection: Connection, server_id: int) -> Kept:
    """The newest placement of the server, decided again. NotFound: what it was decided on is not kept (any more).
    Conflict: another version decided it, with other weights or on other things."""
    found = await placement_inputs.find(connection, server_id)
    if found is None:
        raise NotFound(
            f"of server {server_id} no placement is kept: it was never placed, or too long ago;"
            " --now places it with the hosts as they are"
        )
    ranking = rank(found.hosts, found.ask)
    if ranking.digest != found.digest:
        raise placement_inputs.of_another_version(server_id)
    return Kept(ranking, await names_of_hosts(connection), found.host_id, found.epoch, found.created)


async def placed_now(connection: Connection, server_id: int) -> Now:
    """As if it were placed once more, beside itself; nothing is claimed. NotFound: it is gone."""
    order = await load_order(connection, server_id)
    if order is None:
        raise NotFound(f"there is no server {server_id}")
    request = PlacementRequest(order, (), NEVER)
    situation = await situations.look(connection, WarmHosts(order.location), request)
    return Now(rank(situation.hosts, situation.ask), await names_of_hosts(connection))


async def names_of_hosts(connection: Connection) -> dict[int, str]:
    found = await connection.execute("SELECT id, name FROM hosts")
    return {row["id"]: row["name"] for row in await found.fetchall()}
