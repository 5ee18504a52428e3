"""Plans: every list is read along an index, however many things and projects there are.

Each list is asked for as the API asks, and the database says how it read. Its own rows are the ones that grow; what it
joins to a page's rows (types, locations) is small and may be read as a whole.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.rows import dict_row

from infra.db import (
    actions,
    affected,
    changes,
    firewall_targets,
    firewalls,
    images,
    limits,
    load_balancer_targets,
    load_balancers,
    placement_groups,
    power,
    primary_ips,
    quota_requests,
    rrsets,
    servers,
    ssh_keys,
    zones,
)
from infra.db.actions import ActionFilter
from infra.db.images import ImageFilter
from infra.db.listing import Window
from infra.db.named import Wanted
from infra.db.pool import Connection, Pool, open_pool
from infra.db.rrsets import RRSetFilter
from infra.db.servers import ServerFilter
from infra.domain.changes import Change, Resource
from infra.domain.labels import parse_selector
from infra.domain.power import Powered
from tests.db.conftest import furnished
from tests.fix_stack import NewDatabase

PROJECTS, EACH = 20, 500

NAMED = """
INSERT INTO {table} (project_id, name, labels{more})
SELECT p.id, 'n' || n, jsonb_build_object('n', n::text){values} FROM projects p, generate_series(1, {each}) n
"""

MORE: dict[str, tuple[str, str]] = {
    "servers": (
        ", status, user_id, server_type_id, location_id, image_id",
        ", 'running', (SELECT min(id) FROM users), (SELECT min(id) FROM server_types), (SELECT min(id) FROM locations),"
        " (SELECT min(id) FROM images)",
    ),
    "ssh_keys": (", fingerprint, public_key", ", 'f' || n, 'k'"),
    "placement_groups": (", type", ", 'spread'"),
    "firewalls": ("", ""),
    "load_balancers": (
        ", load_balancer_type_id, location_id, algorithm",
        ", (SELECT min(id) FROM load_balancer_types), (SELECT min(id) FROM locations), 'round_robin'",
    ),
    "primary_ips": (", type, location_id", ", 'ipv4', (SELECT min(id) FROM locations)"),
}
"""What a row of each table needs beside its name."""

BALANCING = """
INSERT INTO address_pools (location_id, type, cidr, last_index)
SELECT id, 'ipv6', '2001:db8::/32', 1000000 FROM locations;
INSERT INTO addresses (pool_id, type, address, load_balancer_id)
SELECT p.id, t.type, CASE t.type WHEN 'ipv4' THEN host('10.0.0.0'::inet + b.id)
                     ELSE format('2001:db8:0:%s::/64', to_hex(b.id)) END, b.id
FROM load_balancers b, address_pools p, (VALUES ('ipv4'), ('ipv6')) t (type);
INSERT INTO load_balancer_targets (load_balancer_id, server_id)
SELECT b.id, s.id FROM load_balancers b JOIN servers s USING (project_id, name);
INSERT INTO load_balancer_targets (load_balancer_id, selector)
SELECT b.id, 'n=' || (b.labels ->> 'n') FROM load_balancers b WHERE b.name LIKE '%7'
"""
"""Each load balancer with its addresses, and with the server of its name as a target."""


async def balancing(connection: Connection, project: int, page: Window) -> None:
    """What servers tell of load balancers, for a page of them."""
    found = await servers.find_all(connection, ServerFilter(project), page)
    await load_balancer_targets.of_servers(connection, found.items)


def change(project: int) -> Change:
    """One that is at its end, as ends come to hundreds at once."""
    return Change(7, project, "local", "stop_server", Resource("server", 7), 7)


List = Callable[[Connection, int, Window], Awaitable[Any]]

LISTS: dict[str, list[List]] = {
    "servers": [
        lambda c, project, page: servers.find_all(c, ServerFilter(project), page),
        lambda c, project, page: servers.find_all(c, ServerFilter(project, name="n7"), page),
        lambda c, project, page: servers.find_all(c, ServerFilter(project, labels=parse_selector("n=7")), page),
        lambda c, project, page: _matching(c, project, page),
        lambda c, project, _: changes.finish(c, change(project), []),
        lambda c, project, _: power.finish(c, Powered(change(project), "off"), []),
        lambda c, project, page: limits.of_owner(c, 1, project),  # what is under way is looked for among them
    ],
    "ssh_keys": [lambda c, project, page: ssh_keys.KIND.find_all(c, Wanted(project), page)],
    "placement_groups": [lambda c, project, page: placement_groups.KIND.find_all(c, Wanted(project), page)],
    "load_balancers": [
        lambda c, project, page: load_balancers.KIND.find_all(c, Wanted(project), page),
        lambda c, project, page: load_balancers.KIND.find_all(c, Wanted(project, "n7"), page),
    ],
    "load_balancer_targets": [balancing],
    "primary_ips": [lambda c, project, page: primary_ips.find_all(c, Wanted(project), None, page)],
    "firewalls": [lambda c, project, page: firewalls.KIND.find_all(c, Wanted(project), page)],
    "firewall_targets": [
        lambda c, project, page: firewalls.KIND.find_all(c, Wanted(project), page),
        lambda c, project, page: servers.find_all(c, ServerFilter(project), page),
    ],
    "zones": [
        lambda c, project, page: zones.KIND.find_all(c, Wanted(project), page),
        lambda c, project, page: zones.KIND.find_all(c, Wanted(project, name="n7"), page),
        lambda c, project, _: zones.refuse_strangers(c, project, "w.n7.p1"),
    ],
    "rrsets": [
        lambda c, _, page: rrsets.find_all(c, RRSetFilter(7), page),
        lambda c, _, page: rrsets.find_all(c, RRSetFilter(7, name="n7", types=["A"]), page),
    ],
    "quota_requests": [
        lambda c, project, page: quota_requests.KIND.find_all(c, Wanted(project), page),
        lambda c, project, page: quota_requests.list_open(c),
    ],
    "images": [lambda c, project, page: images.find_all(c, ImageFilter(project, name="n7"), page)],
    "actions": [
        lambda c, project, page: actions.find_all(c, ActionFilter(project, ids=(7, 8)), page),
        lambda c, project, page: actions.find_all(c, ActionFilter(project, about=Resource("server", 7)), page),
        lambda c, project, page: actions.find_all(c, ActionFilter(project), page),
    ],
}


async def _matching(connection: Connection, project_id: int, page: Window) -> dict[str, list[int]]:
    found = await firewalls.KIND.find_all(connection, Wanted(project_id), page)
    return await firewall_targets.matching(connection, project_id, found.items)


PAGES = (Window(), Window(page=10), Window(sort=(("id", True),)))


class Explaining(Connection):
    """A connection that notes how each query was read. ``project_id``: one of many."""

    plans: list[Any]
    project_id: int

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = query.as_string(self) if isinstance(query, sql.Composable) else str(query)
        if text.lstrip().startswith(("SELECT", "WITH")):
            told = await super().execute(f"EXPLAIN (FORMAT JSON) {text}".encode(), params)
            row = await told.fetchone()
            assert row is not None
            self.plans.append(json.loads(json.dumps(row["QUERY PLAN"])))
        return await super().execute(query, params, **options)


@pytest_asyncio.fixture
async def explaining(crowded: Explaining) -> Explaining:
    crowded.plans = []
    return crowded


@pytest_asyncio.fixture(scope="module")
async def crowded(new_database: NewDatabase) -> AsyncIterator[Explaining]:
    """Books of many projects, each with many of everything. Filling them takes seconds."""
    async with (
        new_database() as url,
        open_pool(url, 4) as pool,
        await Explaining.connect(url, autocommit=True, row_factory=dict_row) as ours,
    ):
        ours.project_id = (await furnished(pool)).id
        await _fill(pool)
        yield ours


async def _fill(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO projects (name) SELECT 'p' || n FROM generate_series(2, %s) n", (PROJECTS,)
        )
        for table, (more, values) in MORE.items():
            query = NAMED.format(table=table, more=more, values=values, each=EACH)
            await connection.execute(query.encode())
        for statement in BALANCING.split(";"):
            await connection.execute(statement.encode())
        await connection.execute(
            b"INSERT INTO images (project_id, type, name, description, disk_gib, digest)"
            b" SELECT p.id, 'snapshot', 'n' || n, '', 1, repeat('b', 64)"
            b" FROM projects p, generate_series(1, %s) n",
            (EACH,),
        )
        await connection.execute(
            b"INSERT INTO zones (project_id, name, mode, ttl, name_servers)"
            b" SELECT p.id, 'n' || n || '.p' || p.id, 'primary', 3600, '{}' FROM projects p, generate_series(1, %s) n",
            (EACH,),
        )
        await connection.execute(
            "INSERT INTO rrsets (zone_id, name, type, records)"
            " SELECT z.id, 'n' || n, 'A', jsonb_build_array(jsonb_build_object('value', '192.0.2.1'))"
            " FROM (SELECT id FROM zones LIMIT 100) z, generate_series(1, 100) n"
        )
        await connection.execute(
            b"INSERT INTO quota_requests (project_id, user_id, scope, max_servers, reason, state, decided)"
            b" SELECT p.id, (SELECT min(id) FROM users), 'project', 1, '', 'rejected', now()"
            b" FROM projects p, generate_series(1, %s) n",
            (EACH,),
        )
        await connection.execute(
            "INSERT INTO actions (project_id, server_id, resources, command, status, finished)"
            " SELECT project_id, id, jsonb_build_array(jsonb_build_object('id', id, 'type', 'server')), 'x', 'success',"
            " now() FROM servers"
        )
        await connection.execute(
            "INSERT INTO firewall_targets (firewall_id, project_id, server_id, selector)"
            " SELECT f.id, f.project_id, CASE WHEN f.id % 50 > 0 THEN s.id END, CASE WHEN f.id % 50 = 0 THEN 'a=b' END"
            " FROM firewalls f JOIN servers s USING (project_id, name)"
        )
        await connection.execute("ANALYZE")


async def test_actions_that_were_before_a_change_are_not_looked_through(explaining: Explaining) -> None:
    of_all = Change(7, explaining.project_id, "local", "set_firewall_rules", Resource("firewall", 7))

    await affected.servers(explaining, of_all)

    reads = {node["Index Name"]: node["Index Cond"] for node in nodes(explaining.plans[-1]) if "Index Name" in node}
    assert reads.keys() == {"actions_pkey", "actions_project"}
    assert "id > a.id" in reads["actions_project"]


@pytest.mark.parametrize("table", sorted(LISTS))
async def test_a_list_is_read_along_an_index(explaining: Explaining, table: str) -> None:
    for ask in LISTS[table]:
        for page in PAGES:
            await ask(explaining, explaining.project_id, page)

    assert explaining.plans
    whole = [plan for plan in explaining.plans if table in read_as_a_whole(plan)]
    assert whole == [], json.dumps(whole[0], indent=1)[:4000]


def nodes(plan: Any) -> list[dict[str, Any]]:
    """All of a plan, or of several."""
    if isinstance(plan, list):
        return [node for one in plan for node in nodes(one)]
    return [plan, *nodes(list(plan.values()))] if isinstance(plan, dict) else []


def read_as_a_whole(plan: Any) -> set[str]:
    """The tables that a plan reads from end to end."""
    if isinstance(plan, list):
        return set().union(*map(read_as_a_whole, plan))
    if not isinstance(plan, dict):
        return set()
    below = set().union(*map(read_as_a_whole, plan.values()))
    return below | ({plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set())


async def test_a_list_that_is_read_as_a_whole_is_seen(explaining: Explaining) -> None:
    await explaining.execute("SELECT id FROM servers WHERE user_data = 'none'")

    assert read_as_a_whole(explaining.plans[-1]) == {"servers"}
