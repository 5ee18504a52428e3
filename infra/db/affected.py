"""Whom a change affects: the servers whose ports are to follow it, wherever they are by now.

A firewall's are those that it is in effect for and those that it still guards; a network's, its members, also when it
is gone; a project's, all that it has. The books are changed before they are asked, and a port's plan is read after: a
server that comes in between reads the new plan.
"""

from __future__ import annotations

from infra.db import enforced, firewall_targets, firewalls, hosts
from infra.db.pool import Connection
from infra.domain.changes import Change, Look
from infra.domain.errors import NotFound
from infra.domain.models import Machine

PAGE = 250
"""Servers at a time: their machines are half a kilobyte each, and a payload may have two megabytes."""

OF_A_SERVER = frozenset(
    {
        *("attach_to_network", "detach_from_network", "change_alias_ips"),
        *("assign_primary_ip", "unassign_primary_ip"),
    }
)
OF_A_FIREWALL = frozenset({"set_firewall_rules", "apply_firewall", "remove_firewall"})
OF_A_PROJECT = frozenset({"change_inbound_policy"})
OF_A_NETWORK = frozenset({"add_route", "delete_route", "change_ip_range"})
"""Subnets are for handing out addresses: a port's plan says nothing of them."""
DELETE_NETWORK = "delete_network"

MEMBERS = "SELECT server_id FROM network_members WHERE network_id = %s AND server_id IS NOT NULL ORDER BY server_id"

OF_PROJECT = "SELECT id AS server_id FROM servers WHERE project_id = %s ORDER BY id"

# Of other actions of the same transaction: what one that began meanwhile has done may be older than the rules. Those of
# servers begin right after that for all: neither what the project did before is read, nor, by the index of resources,
# all that was ever done to the firewall.
TOLD_ALONE = """
WITH together AS MATERIALIZED (
    SELECT o.server_id, o.command, o.resources
    FROM actions a JOIN actions o ON o.project_id = a.project_id AND o.id > a.id AND o.started = a.started
    WHERE a.id = %(action)s
)
SELECT server_id FROM together WHERE command = 'apply_firewall' AND server_id IS NOT NULL
  AND resources @> jsonb_build_array(jsonb_build_object('id', %(firewall)s::bigint, 'type', 'firewall'))
"""

LEAVERS = "SELECT server_id FROM network_leavers WHERE action_id = %s ORDER BY server_id"


async def machines(connection: Connection, look: Look) -> tuple[tuple[Machine, ...], int | None]:
    """A page of them, and the id of its last server; None: no more come after it."""
    if look.servers is not None:
        return tuple(await hosts.machines(connection, look.servers)), None
    waiting = [id for id in await servers(connection, look.change) if id > look.after]
    page, more = waiting[:PAGE], len(waiting) > PAGE
    return tuple(await hosts.machines(connection, page)), page[-1] if more else None


async def servers(connection: Connection, change: Change) -> list[int]:
    """By their ids. Those that are on no host (yet, or any more) are among them."""
    if change.command in OF_A_NETWORK:
        found = await connection.execute(MEMBERS, (change.resource.id,))
        return [row["server_id"] for row in await found.fetchall()]
    if change.command in OF_A_PROJECT:
        found = await connection.execute(OF_PROJECT, (change.resource.id,))
        return [row["server_id"] for row in await found.fetchall()]
    if change.command == DELETE_NETWORK:
        found = await connection.execute(LEAVERS, (change.action_id,))
        return [row["server_id"] for row in await found.fetchall()]
    if change.command in OF_A_SERVER | OF_A_FIREWALL and change.server_id is not None:
        return [change.server_id]
    if change.command in OF_A_FIREWALL:
        all_of_it = await _of_firewall(connection, change.project_id, change.resource.id)
        alone = await _told_alone(connection, change)
        return [id for id in all_of_it if id not in alone]
    return []


async def _of_firewall(connection: Connection, project_id: int, id: int) -> list[int]:
    guarded = set(await enforced.guarded_by(connection, id))
    try:
        firewall = await firewalls.KIND.get(connection, project_id, id)
    except NotFound:  # it guards servers until their hosts say otherwise
        return sorted(guarded)
    direct = {target.server_id for target in firewall.targets if target.server_id is not None}
    by_labels = await firewall_targets.matching(connection, project_id, [firewall])
    return sorted(guarded.union(direct, *by_labels.values()))


async def _told_alone(connection: Connection, change: Change) -> set[int]:
    """Servers that have an action of their own beside that for all: it brings them the same rules."""
    found = await connection.execute(TOLD_ALONE, {"action": change.action_id, "firewall": change.resource.id})
    return {row["server_id"] for row in await found.fetchall()}
