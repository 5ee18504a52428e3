"""Whose ports follow a firewall's rules: each server's once, by an action of its own or by that for all."""

from __future__ import annotations

from infra.db import affected, changes, firewall_targets, firewalls
from infra.db.firewalls import NewFirewall
from infra.db.pool import Connection
from infra.domain.changes import Change, Resource
from infra.domain.firewalls import Rule, Target
from tests.db.conftest import Project

WEB = Rule("in", "tcp", "80", ("0.0.0.0/0",))


async def test_a_server_with_an_action_of_its_own_follows_that_alone(project: Project) -> None:
    servers = [(await project.accept(f"web-{n}")).server_id for n in range(3)]
    async with project.pool.connection() as connection:

        async def begin(command: str, *servers: int) -> Change:
            about = [Resource("firewall", id), *(Resource("server", server) for server in servers)]
            return (await changes.accept(connection, project.id, "local", command, about))[1]

        id = await _for_all(connection, project)
        async with connection.transaction():
            await firewalls.set_rules(connection, project.id, id, [WEB])
            of_all = await begin("set_firewall_rules")
            of_first = await begin("apply_firewall", servers[0])
        await begin("apply_firewall", servers[1])  # another's, which may have ended before the rules were in the books

        assert await affected.servers(connection, of_all) == servers[1:]
        assert await affected.servers(connection, of_first) == servers[:1]


async def _for_all(connection: Connection, project: Project) -> int:
    async with connection.transaction():
        id = await firewalls.create(connection, NewFirewall(project.id, "for-all", (), {}))
        await firewall_targets.apply(connection, project.id, id, [Target(selector="!exempt")])
    return id
