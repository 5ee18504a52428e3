"""Port plans: what a host shall build and guard for its servers, read from the books at the moment in which it asks.

A plan is told to nobody but the holder of exactly that claim. All plans of a host take as many queries as one does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from infra.db.firewall_targets import parsed
from infra.db.firewalls import rule_of
from infra.db.pool import Connection
from infra.domain.firewalls import Rule, in_effect
from infra.domain.labels import Selector
from infra.domain.models import server_mac
from infra.domain.networks import mac_of
from infra.domain.port_plan import GuestRoute, PortPlan, PrivatePort, PublicPort

CLAIMED = """
SELECT s.id, c.epoch, s.project_id, s.labels, s.want_ipv4 OR s.want_ipv6 AS is_public,
       p.inbound_policy = 'accept' AS accepts,
       v4.address AS ipv4, v4.generation AS ipv4_generation, v6.address AS ipv6, v6.generation AS ipv6_generation,
       ARRAY(SELECT f.firewall_id FROM firewall_targets f WHERE f.server_id = s.id ORDER BY f.id) AS firewalls
FROM claims c JOIN servers s ON s.id = c.server_id JOIN projects p ON p.id = s.project_id
LEFT JOIN addresses v4 ON v4.server_id = s.id AND v4.type = 'ipv4'
LEFT JOIN addresses v6 ON v6.server_id = s.id AND v6.type = 'ipv6'
WHERE c.host_id = %s """

MEMBERS = """
SELECT m.id, m.server_id, m.network_id, m.ip, m.aliases, n.vni, n.ip_range::text,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('destination', r.destination, 'gateway', host(r.gateway))
                                  ORDER BY r.destination), '[]')
        FROM routes r WHERE r.network_id = n.id) AS routes
FROM members m JOIN networks n ON n.id = m.network_id
WHERE m.server_id = ANY(%s) ORDER BY m.id
"""

SELECTORS = """
SELECT project_id, firewall_id, selector FROM firewall_targets
WHERE project_id = ANY(%s) AND selector IS NOT NULL ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the plans of some servers are made of, beside their own rows. By project, by server and by firewall."""

    selectors: Mapping[int, Sequence[tuple[int, Selector]]]
    members: Mapping[int, Sequence[DictRow]]
    rules: Mapping[int, Sequence[Rule]]


async def plan_of(connection: Connection, host_id: int, server_id: int, epoch: int) -> PortPlan | None:
    """None unless exactly this claim stands."""
    found = await connection.execute(CLAIMED + "AND s.id = %s AND c.epoch = %s", (host_id, server_id, epoch))
    plans = await _plans(connection, await found.fetchall())
    return plans[0] if plans else None


async def plans_of(connection: Connection, host_id: int) -> list[PortPlan]:
    """Of all servers that the host has a claim on."""
    found = await connection.execute(CLAIMED + "ORDER BY s.id", (host_id,))
    return await _plans(connection, await found.fetchall())


async def _plans(connection: Connection, servers: Sequence[DictRow]) -> list[PortPlan]:
    if not servers:
        return []
    selectors = await _selectors(connection, {row["project_id"] for row in servers})
    firewalls = {row["id"]: _in_effect(row, selectors) for row in servers}
    around = Surroundings(
        selectors,
        await _members(connection, list(firewalls)),
        await _rules(connection, {id for ids in firewalls.values() for id in ids}),
    )
    return [_plan(row, firewalls[row["id"]], around) for row in servers]


def _in_effect(row: DictRow, selectors: Mapping[int, Sequence[tuple[int, Selector]]]) -> list[int]:
    return in_effect(row["firewalls"], selectors.get(row["project_id"], ()) if row["is_public"] else (), row["labels"])


async def _selectors(connection: Connection, projects: Collection[int]) -> Mapping[int, Sequence[tuple[int, Selector]]]:
    found = await connection.execute(SELECTORS, (list(projects),))
    by_project: dict[int, list[tuple[int, Selector]]] = defaultdict(list)
    for row in await found.fetchall():
        by_project[row["project_id"]].append((row["firewall_id"], parsed(row["selector"])))
    return by_project


async def _members(connection: Connection, servers: Collection[int]) -> Mapping[int, Sequence[DictRow]]:
    found = await connection.execute(MEMBERS, (list(servers),))
    by_server: dict[int, list[DictRow]] = defaultdict(list)
    for row in await found.fetchall():
        by_server[row["server_id"]].append(row)
    return by_server


async def _rules(connection: Connection, firewalls: Collection[int]) -> Mapping[int, Sequence[Rule]]:
    found = await connection.execute("SELECT id, rules FROM firewalls WHERE id = ANY(%s)", (list(firewalls),))
    return {row["id"]: [rule_of(one) for one in row["rules"]] for row in await found.fetchall()}


def _plan(row: DictRow, firewalls: Sequence[int], around: Surroundings) -> PortPlan:
    return PortPlan(
        server_id=row["id"],
        epoch=row["epoch"],
        public=_public(row),
        private=tuple(map(_private, around.members.get(row["id"], ()))),
        firewalls=tuple(firewalls),
        rules=_together(around.rules.get(id, ()) for id in firewalls),
        accepts=row["accepts"],
    )


def _public(row: DictRow) -> PublicPort:
    generations = row["ipv4_generation"] or 0, row["ipv6_generation"] or 0
    return PublicPort(server_mac(row["id"]), row["ipv4"], row["ipv6"], *generations)


def _together(rules: Iterable[Sequence[Rule]]) -> tuple[Rule, ...]:
    """Those of all firewalls, each once."""
    return tuple(dict.fromkeys(rule for some in rules for rule in some))


def _private(row: DictRow) -> PrivatePort:
    own = {row["ip"], *row["aliases"]}
    return PrivatePort(
        member_id=row["id"],
        network_id=row["network_id"],
        vni=row["vni"],
        mac=mac_of(row["id"]),
        ip=row["ip"],
        ip_range=row["ip_range"],
        aliases=tuple(row["aliases"]),
        routes=tuple(GuestRoute(**one) for one in row["routes"] if one["gateway"] not in own),
        carries=tuple(one["destination"] for one in row["routes"] if one["gateway"] in own),
    )
