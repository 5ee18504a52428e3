"""What firewalls are applied to: servers by their ids, and label selectors, whose matches are never written down.

A selector is asked whenever somebody looks, so that it holds for the labels of the moment. It speaks of servers with a
public address alone: that is where firewalls stand. A firewall is changed under its row's lock, and a server comes by
another one under its own, so that it never has more than it may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from psycopg import sql
from psycopg.rows import DictRow

from infra.db.firewalls import KIND, Firewall
from infra.db.listing import where
from infra.db.pool import Connection
from infra.db.selectors import conditions, hold
from infra.domain.errors import QuotaExceeded
from infra.domain.firewalls import MOST_ON_A_SERVER, Target, in_effect
from infra.domain.labels import Selector, matches, terms_of
from infra.domain.refusals import (
    FirewallAlreadyApplied,
    FirewallManagedByLabelSelector,
    FirewallResourceNotFound,
    PrivateNetOnlyServer,
)

Selecting = Sequence[tuple[int, Selector]]
"""Firewalls by id, each with a selector that it is applied to."""

SELECTORS = """
SELECT firewall_id, selector FROM firewall_targets WHERE project_id = %s AND selector IS NOT NULL ORDER BY id
"""

INSERT = """
INSERT INTO firewall_targets (firewall_id, project_id, server_id, selector) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""

SERVERS = """
SELECT s.id, s.labels, s.want_ipv4 OR s.want_ipv6 AS is_public FROM servers s
WHERE s.project_id = %s AND s.id = ANY(%s) ORDER BY s.id FOR NO KEY UPDATE
"""

TOO_MANY = """
SELECT t.server_id FROM firewall_targets t WHERE t.server_id = ANY(%s)
GROUP BY t.server_id HAVING count(*) > %s ORDER BY t.server_id
"""

MATCHING = sql.SQL("""
WITH asked AS MATERIALIZED (
    SELECT s.id, array_remove(ARRAY[{holding}], NULL) AS holding FROM servers s
    WHERE s.project_id = %(project)s AND (s.want_ipv4 OR s.want_ipv6)
)
SELECT id, holding FROM asked WHERE cardinality(holding) > 0 ORDER BY id
""")
"""Each server once, with the numbers of the selectors that hold for it: all of them are asked in one go."""

parsed = lru_cache(maxsize=4096)(terms_of)


async def selecting(connection: Connection, project_id: int) -> Selecting:
    """The project's firewalls that are applied to label selectors: few, and asked for once for a page of servers."""
    found = await connection.execute(SELECTORS, (project_id,))
    return [(row["firewall_id"], parsed(row["selector"])) for row in await found.fetchall()]


def of_server(row: DictRow, selecting: Selecting) -> list[int]:
    """The ids of a server's firewalls. ``row``: of the query of servers."""
    return in_effect(row["firewalls"], selecting if row["is_public"] else (), row["labels"])


async def apply(connection: Connection, project_id: int, id: int, targets: Sequence[Target]) -> None:
    """FirewallResourceNotFound, PrivateNetOnlyServer, FirewallAlreadyApplied; QuotaExceeded: a server has enough."""
    await _lock(connection, project_id, id, targets)
    servers = await _servers(connection, project_id, targets)
    if private := [server for server, row in servers.items() if not row["is_public"]]:
        raise PrivateNetOnlyServer(f"servers without a public address: {_listed(private)}")
    for target in targets:
        done = await connection.execute(INSERT, (id, project_id, target.server_id, target.selector))
        if done.rowcount == 0:
            raise FirewallAlreadyApplied(f"the firewall is applied to {target} already")
    found = await (await connection.execute(TOO_MANY, (list(servers), MOST_ON_A_SERVER))).fetchall()
    if full := [row["server_id"] for row in found]:
        raise QuotaExceeded(
            f"a server takes at most {MOST_ON_A_SERVER} firewalls: {_listed(full)}",
            {"limits": [{"name": "firewalls_per_server"}]},
        )


async def remove(connection: Connection, project_id: int, id: int, targets: Sequence[Target]) -> None:
    """It may not have been applied to them. FirewallResourceNotFound, FirewallManagedByLabelSelector."""
    await _lock(connection, project_id, id, targets)
    servers = await _servers(connection, project_id, targets)
    gone = await connection.execute(
        "DELETE FROM firewall_targets WHERE firewall_id = %s AND (server_id = ANY(%s) OR selector = ANY(%s))"
        " RETURNING server_id",
        (id, list(servers), [target.selector for target in targets if target.selector is not None]),
    )
    removed = {row["server_id"] for row in await gone.fetchall()}
    now = await KIND.get(connection, project_id, id)
    left = [parsed(target.selector) for target in now.targets if target.selector is not None]
    for server, row in servers.items():
        if server not in removed and row["is_public"] and any(matches(one, row["labels"]) for one in left):
            raise FirewallManagedByLabelSelector(f"server {server} has the firewall by a label selector")


async def put_on(connection: Connection, project_id: int, server_id: int, firewalls: Iterable[int]) -> None:
    """On a server that is being ordered, in its order's transaction. Whether they exist is checked before."""
    for id in firewalls:
        await connection.execute(INSERT, (id, project_id, server_id, None))


async def matching(connection: Connection, project_id: int, firewalls: Iterable[Firewall]) -> dict[str, list[int]]:
    """By selector: the servers that each of the firewalls' selectors matches now."""
    selectors = list(dict.fromkeys(target.selector for one in firewalls for target in one.targets if target.selector))
    found: dict[str, list[int]] = {selector: [] for selector in selectors}
    if selectors:
        query = MATCHING.format(holding=sql.SQL(", ").join(map(_where_it_holds, range(len(selectors)), selectors)))
        rows = await connection.execute(query, {"project": project_id})
        for row in await rows.fetchall():
            for number in row["holding"]:
                found[selectors[number]].append(row["id"])
    return found


async def _lock(connection: Connection, project_id: int, id: int, targets: Iterable[Target]) -> None:
    if any(target.selector is not None for target in targets):
        await hold(connection, project_id)
    await KIND.lock(connection, project_id, id)


def _where_it_holds(number: int, selector: str) -> sql.Composable:
    holds = where(conditions(parsed(selector), sql.SQL("s.labels")))
    return sql.SQL("CASE WHEN {} THEN {} END").format(holds, sql.Literal(number))


async def _servers(connection: Connection, project_id: int, targets: Iterable[Target]) -> dict[int, DictRow]:
    """Those among ``targets``, by id, kept as they are until the transaction ends."""
    ids = [target.server_id for target in targets if target.server_id is not None]
    found = await connection.execute(SERVERS, (project_id, ids))
    servers = {row["id"]: row for row in await found.fetchall()}
    if missing := [id for id in ids if id not in servers]:
        raise FirewallResourceNotFound(f"servers that do not exist: {_listed(missing)}")
    return servers


def _listed(ids: Collection[int]) -> str:
    return ", ".join(map(str, ids))
