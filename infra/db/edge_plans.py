"""Plans of edges, made of the books: their load balancers by now, and whom each of them sends to.

A server is sent to while it is registered (``serving``) and not going, by its address in the load balancer's network or
by its public one, IPv4 first. What a label selector means is found out at the moment of asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from psycopg import sql
from psycopg.rows import DictRow

from infra.db import load_balancer_targets
from infra.db.load_balancers import KIND, LoadBalancer, Target
from infra.db.pool import Connection
from infra.domain.edge_plan import MOST_BACKENDS, Backend, Balancer, Certificate, EdgePlan, PrivateSide
from infra.domain.load_balancers import bare_ipv6
from infra.domain.networks import mac_of

OF_EDGE = sql.SQL("{} WHERE r.edge_id = %s ORDER BY r.project_id, r.id").format(KIND.select)
TURNS = """
SELECT b.id, b.edge_epoch, v4.generation AS ipv4, v6.generation AS ipv6
FROM load_balancers b
LEFT JOIN addresses v4 ON v4.load_balancer_id = b.id AND v4.type = 'ipv4'
LEFT JOIN addresses v6 ON v6.load_balancer_id = b.id AND v6.type = 'ipv6'
WHERE b.id = ANY(%s)
"""

SERVERS = """
SELECT s.id,
       (SELECT a.address FROM addresses a WHERE a.server_id = s.id AND a.type = 'ipv4') AS ipv4,
       (SELECT a.address FROM addresses a WHERE a.server_id = s.id AND a.type = 'ipv6') AS ipv6,
       (SELECT jsonb_object_agg(m.network_id, m.ip) FROM members m WHERE m.server_id = s.id) AS nets
FROM servers s JOIN serving v ON v.server_id = s.id
WHERE s.id = ANY(%s) AND s.status <> 'deleting'
"""

SIDES = """
SELECT m.load_balancer_id, m.id, n.vni, n.ip_range::text AS ip_range
FROM network_members m JOIN networks n ON n.id = m.network_id WHERE m.load_balancer_id = ANY(%s)
"""
CERTIFICATES = "SELECT id, certificate, private_key FROM certificates WHERE id = ANY(%s) ORDER BY id"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Whom a target means: ``server_id`` None for an address. ``backend`` None: it cannot be sent to now.
    ``is_beyond``: nor to it, as there are as many before it as a load balancer sends to."""

    target: Target
    server_id: int | None
    backend: Backend | None
    is_beyond: bool = False


async def plan_of(connection: Connection, edge_id: int) -> EdgePlan:
    """In one order, always the same, so that its digest tells whether anything has changed."""
    found = [KIND.build(row) for row in await (await connection.execute(OF_EDGE, (edge_id,))).fetchall()]
    resolved = await resolve(connection, found)
    ids = [one.id for one in found]
    turns = {row["id"]: row for row in await (await connection.execute(TURNS, (ids,))).fetchall()}
    sides = await _sides(connection, found)
    balancers = [_balancer(one, turns[one.id], sides.get(one.id), resolved[one.id]) for one in found if one.id in turns]
    wanted = {id for one in found for service in one.services for id in service.certificates}
    return EdgePlan(edge_id, tuple(balancers), await _certificates(connection, wanted))


async def resolve(connection: Connection, balancers: Sequence[LoadBalancer]) -> Mapping[int, Sequence[Resolved]]:
    """Whom the targets of each load balancer mean now, by its id."""
    selected = await _selected(connection, balancers)
    means = {
        (one.id, target): selected[one.project_id, target.selector] if target.selector else [target.server_id]
        for one in balancers
        for target in one.targets
        if target.ip is None
    }
    servers = await _servers(connection, {id for ids in means.values() for id in ids if id})
    told: dict[int, list[Resolved]] = {}
    for one in balancers:
        told[one.id] = []
        for target in one.targets:
            if target.ip is not None:
                told[one.id].append(Resolved(target, None, Backend(target.ip, target.by_network)))
            else:
                told[one.id] += [
                    Resolved(target, id, _backend(one, target, servers.get(id or 0))) for id in means[one.id, target]
                ]
    return {id: list(_within(some)) for id, some in told.items()}


def _within(resolved: Iterable[Resolved]) -> Iterator[Resolved]:
    """Each as before or beyond. A server may be meant twice."""
    sent: set[Backend] = set()
    for one in resolved:
        if one.backend and len(sent) < MOST_BACKENDS:
            sent.add(one.backend)
        yield replace(one, is_beyond=one.backend is not None and one.backend not in sent)


async def _selected(
    connection: Connection, balancers: Sequence[LoadBalancer]
) -> dict[tuple[int, str | None], Sequence[int]]:
    found: dict[tuple[int, str | None], Sequence[int]] = {}
    for project_id, some in groupby(sorted(balancers, key=_project), key=_project):
        selected = await load_balancer_targets.selected(connection, list(some))
        found |= {(project_id, selector): ids for selector, ids in selected.items()}
    return found


def _project(balancer: LoadBalancer) -> int:
    return balancer.project_id


async def _servers(connection: Connection, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    found = await connection.execute(SERVERS, (sorted(ids),))
    return {row["id"]: row for row in await found.fetchall()}


def _backend(balancer: LoadBalancer, target: Target, server: Mapping[str, Any] | None) -> Backend | None:
    if server is None:
        return None
    if target.by_network:
        ip = (server["nets"] or {}).get(str(balancer.member.network_id)) if balancer.member else None
        return Backend(ip, by_network=True) if ip else None
    address = server["ipv4"] or (bare_ipv6(server["ipv6"]) if server["ipv6"] else None)
    return Backend(address) if address else None


async def _sides(connection: Connection, balancers: Sequence[LoadBalancer]) -> dict[int, PrivateSide]:
    """By load balancer."""
    by_id = {one.id: one.member for one in balancers if one.member}
    rows = await (await connection.execute(SIDES, (list(by_id),))).fetchall()
    return {
        row["load_balancer_id"]: PrivateSide(row["id"], row["vni"], mac_of(row["id"]), member.ip, row["ip_range"])
        for row in rows
        if (member := by_id[row["load_balancer_id"]])
    }


def _balancer(one: LoadBalancer, turns: DictRow, side: PrivateSide | None, resolved: Sequence[Resolved]) -> Balancer:
    backends = {each.backend for each in resolved if each.backend and not each.is_beyond}
    return Balancer(
        *(one.id, turns["edge_epoch"], one.algorithm, one.type.max_connections),
        ipv4=one.ipv4 if one.public_enabled else None,
        ipv6=one.ipv6 if one.public_enabled else None,
        ipv4_generation=turns["ipv4"] or 0,
        ipv6_generation=turns["ipv6"] or 0,
        private=side,
        services=tuple(one.services),
        backends=tuple(sorted(backends, key=lambda backend: (backend.by_network, backend.address))),
        project_id=one.project_id,
    )


async def _certificates(connection: Connection, ids: Iterable[int]) -> tuple[Certificate, ...]:
    found = await connection.execute(CERTIFICATES, (sorted(ids),))
    return tuple(
        Certificate(row["id"], f"{row['certificate'].strip()}\n{row['private_key'].strip()}\n")
        for row in await found.fetchall()
    )
