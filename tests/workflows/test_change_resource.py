"""Changes of many servers: page by page, past hosts that are away, and past servers that come and go meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from api.stories import Stories
from infra.db import changes, firewall_targets, firewalls, principals
from infra.db.firewalls import NewFirewall
from infra.db.principals import Manners
from infra.domain.changes import Change, Resource
from infra.domain.firewalls import Rule, Target
from infra.drivers.simulated import Fault
from infra.temporal.names import change_id
from tests.fix_region import NewRegion, Region, eventually, working_host
from workers.region import region_worker

RULES = tuple(Rule("in", "tcp", str(port), ("0.0.0.0/0",)) for port in range(80, 90))


async def firewall_for_all(region: Region) -> int:
    """Applied to whatever server of the project there is; its hosts do not know yet."""
    async with region.pool.connection() as connection, connection.transaction():
        id = await firewalls.create(connection, NewFirewall(region.project_id, "for-all", RULES[:1], {}))
        await firewall_targets.apply(connection, region.project_id, id, [Target(selector="!exempt")])
    return id


async def accepted(region: Region, firewall: int, *rules: Rule) -> Change:
    """Other rules, as the API leaves them in the books."""
    async with region.pool.connection() as connection, connection.transaction():
        await firewalls.set_rules(connection, region.project_id, firewall, rules)
        about = [Resource("firewall", firewall)]
        _, change = await changes.accept(connection, region.project_id, region.location, "set_firewall_rules", about)
    return change


async def set_rules(region: Region, firewall: int, *rules: Rule) -> Change:
    change = await accepted(region, firewall, *rules)
    await Stories(region.client).begin_change(change)
    return change


async def done(region: Region, change: Change) -> None:
    await region.client.get_workflow_handle(change_id(change)).result()
    row = await region.one("SELECT status FROM actions WHERE id = %s", change.action_id)
    assert row == {"status": "success"}


def ports_on(region: Region, host_id: int, server_id: int) -> list[str | None] | None:
    plan = region.hosts[host_id].plan_of(server_id)
    return [rule.port for rule in plan.rules] if plan else None


async def test_a_change_of_many_goes_from_page_to_page(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.db.affected.PAGE", 2)
    (host_id,) = region.hosts
    orders = [await region.create(start=False) for _ in range(5)]
    firewall = await firewall_for_all(region)

    change = await set_rules(region, firewall, *RULES[:2])
    await done(region, change)

    assert [ports_on(region, host_id, order.server_id) for order in orders] == [["80", "81"]] * 5
    history = await region.client.get_workflow_handle(change_id(change)).fetch_history()
    began = history.events[0].workflow_execution_started_event_attributes
    assert began.continued_execution_run_id, "a history does not hold them all"


async def test_a_host_that_is_away_keeps_no_other_waiting_and_is_waited_for(new_region: NewRegion) -> None:
    async with new_region(2, workers=False) as region:
        one, other = region.hosts
        async with region_worker(region.client, region.pool, region.settings):
            async with working_host(region, one), working_host(region, other):
                region.hosts[one].inject(Fault("disks.create", error="HostFull"))  # so that each has one
                orders = [await region.create(start=False) for _ in range(2)]
                rows = {order.server_id: await _host(region, order.server_id) for order in orders}
            there, away = sorted(rows, key=lambda server_id: rows[server_id] == other)
            firewall = await firewall_for_all(region)
            async with working_host(region, rows[there]):
                change = await set_rules(region, firewall, *RULES[:3])
                await eventually(lambda: _has(region, rows[there], there, ["80", "81", "82"]))
                assert ports_on(region, rows[away], away) in ([], None, ["80"])
                row = await region.one("SELECT status FROM actions WHERE id = %s", change.action_id)
                assert row == {"status": "running"}

                async with working_host(region, rows[away]):
                    await done(region, change)
                    assert ports_on(region, rows[away], away) == ["80", "81", "82"]


async def test_a_server_that_goes_is_not_waited_for(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with region_worker(region.client, region.pool, region.settings):
            async with working_host(region, host_id):
                order = await region.create(start=False)
            change = await set_rules(region, await firewall_for_all(region), *RULES[:2])
            await region.delete(order)  # its host gets a tombstone
            await done(region, change)


async def test_servers_that_are_made_while_rules_change_come_out_right(new_region: NewRegion) -> None:
    """A create may read its plan before the change is written, and attach it after the change has looked whom it is
    about: the host is told what is wanted by then when it tells what it guards."""
    async with new_region() as region:
        (host_id,) = region.hosts
        firewall = await firewall_for_all(region)

        async def change_often() -> list[Change]:
            made = []
            for count in range(1, len(RULES) + 1):
                made.append(await set_rules(region, firewall, *RULES[:count]))
                await asyncio.sleep(0.05)
            return made

        made, *orders = await asyncio.gather(change_often(), *(region.create(start=False) for _ in range(8)))
        for change in made:
            await done(region, change)

        wanted = [rule.port for rule in RULES]
        assert [ports_on(region, host_id, order.server_id) for order in orders] == [wanted] * 8


async def test_a_firewall_that_leaves_while_a_port_is_made_leaves_it(new_region: NewRegion) -> None:
    """The plan was read with the firewall, which was removed before it was in force: nobody else knows of that port."""
    async with new_region() as region:
        (host_id,) = region.hosts
        firewall = await firewall_for_all(region)
        region.host.inject(Fault("ports.attach", when="hang", count=None))
        order = await region.order()
        await region.admit(order)
        await eventually(lambda: _attaches(region))
        async with region.pool.connection() as connection, connection.transaction():
            await firewall_targets.remove(connection, region.project_id, firewall, [Target(selector="!exempt")])
            about = [Resource("firewall", firewall)]
            _, change = await changes.accept(connection, region.project_id, region.location, "remove_firewall", about)
        await Stories(region.client).begin_change(change)
        await done(region, change)
        region.host.clear()

        assert await region.ended(order) is None
        assert ports_on(region, host_id, order.server_id) == []
        assert await region.one("SELECT FROM enforced_firewalls WHERE server_id = %s", order.server_id) is None


async def _host(region: Region, server_id: int) -> int:
    row = await region.one("SELECT host_id FROM claims WHERE server_id = %s", server_id)
    assert row is not None
    return int(row["host_id"])


async def _has(region: Region, host_id: int, server_id: int, ports: list[str]) -> bool:
    return ports_on(region, host_id, server_id) == ports


async def _attaches(region: Region) -> bool:
    return any(call.call == "ports.attach" for call in region.host.calls())


async def test_a_projects_inbound_policy_comes_to_all_its_servers(region: Region) -> None:
    (host_id,) = region.hosts
    host = region.hosts[host_id]
    orders = [await region.create(start=False) for _ in range(2)]
    project = await region.one("SELECT name FROM projects WHERE id = %s", region.project_id)
    assert project

    async with region.pool.connection() as connection:
        await principals.set_manners(connection, project["name"], Manners(default_network=True))
        assert not await changes.waiting(connection, region.location, older_than=0)
        await principals.set_manners(connection, project["name"], Manners(accepts=True))
        (change,) = await changes.waiting(connection, region.location, older_than=0)
    await Stories(region.client).begin_change(change)
    await done(region, change)

    plans = [host.plan_of(order.server_id) for order in orders]
    assert [plan and plan.accepts for plan in plans] == [True, True]
