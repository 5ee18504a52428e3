"""New labels of a server, and what they bring: firewalls and load balancers that select it by them come and go.

Nobody asks for that by itself, so each gets an action as if somebody had. A project's labels and selectors are changed
one at a time (infra.db.selectors), so that none is missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infra.db import load_balancer_targets, servers
from infra.db.pool import Connection
from infra.db.selectors import hold
from infra.db.servers import Server
from infra.domain.changes import Resource, ResourceType


@dataclass(frozen=True, slots=True)
class Effect:
    """``about``: what is changed, then the server."""

    command: str
    about: tuple[Resource, Resource]


async def update(
    connection: Connection, project_id: int, server_id: int, name: str | None, labels: dict[str, str] | None
) -> tuple[Server, list[Effect]]:
    """As servers.update, with what the labels bring."""
    if labels is None:
        return await servers.update(connection, project_id, server_id, name, None), []
    await hold(connection, project_id)
    before = await servers.get(connection, project_id, server_id)
    after = await servers.update(connection, project_id, server_id, name, labels)
    sends_before, sends_after = [
        (await load_balancer_targets.of_servers(connection, [server]))[server_id] for server in (before, after)
    ]
    return after, [
        *_effects("firewall", "apply_firewall", server_id, set(after.firewalls) - set(before.firewalls)),
        *_effects("firewall", "remove_firewall", server_id, set(before.firewalls) - set(after.firewalls)),
        *_effects("load_balancer", "add_target", server_id, set(sends_after) - set(sends_before)),
        *_effects("load_balancer", "remove_target", server_id, set(sends_before) - set(sends_after)),
    ]


def _effects(type: ResourceType, command: str, server_id: int, ids: Iterable[int]) -> list[Effect]:
    return [Effect(command, (Resource(type, id), Resource("server", server_id))) for id in sorted(ids)]
