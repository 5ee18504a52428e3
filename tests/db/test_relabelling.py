"""New labels and new selectors at once: whoever comes second sees the other, so that no server is forgotten by both."""

from __future__ import annotations

import asyncio

from infra.db import affected, firewall_targets, firewalls, relabelling
from infra.db.firewalls import NewFirewall
from infra.domain.changes import Change, Resource
from infra.domain.firewalls import Target
from tests.db.conftest import Project

ROUNDS = 20


async def apply(project: Project, firewall: int) -> list[int]:
    """Whom the change is about, as its story asks when it is written."""
    async with project.pool.connection() as connection:
        async with connection.transaction():
            await firewall_targets.apply(connection, project.id, firewall, [Target(selector="role=web")])
        change = Change(1, project.id, "local", "apply_firewall", Resource("firewall", firewall))
        return await affected.servers(connection, change)


async def label(project: Project, server: int, labels: dict[str, str]) -> list[str]:
    async with project.pool.connection() as connection, connection.transaction():
        _, effects = await relabelling.update(connection, project.id, server, None, labels)
        return [effect.command for effect in effects]


async def test_a_server_that_is_labelled_while_its_selector_is_applied_is_forgotten_by_neither(
    project: Project,
) -> None:
    server = (await project.accept()).server_id
    for turn in range(ROUNDS):
        async with project.pool.connection() as connection:
            firewall = await firewalls.create(connection, NewFirewall(project.id, f"turn-{turn}", (), {}))

        servers, commands = await asyncio.gather(apply(project, firewall), label(project, server, {"role": "web"}))

        assert server in servers or "apply_firewall" in commands
        async with project.pool.connection() as connection:
            await firewall_targets.remove(connection, project.id, firewall, [Target(selector="role=web")])
        await label(project, server, {})


async def test_labels_that_change_nothing_bring_nothing(project: Project) -> None:
    server = (await project.accept()).server_id
    async with project.pool.connection() as connection:
        firewall = await firewalls.create(connection, NewFirewall(project.id, "web", (), {}))
    await apply(project, firewall)

    assert await label(project, server, {"role": "web"}) == ["apply_firewall"]
    assert await label(project, server, {"role": "web", "env": "test"}) == []
    assert await label(project, server, {"env": "test"}) == ["remove_firewall"]
