"""Ports follow the books: through a step, and where one is lost through the comparison that a host does by itself."""

from __future__ import annotations

from ipaddress import IPv4Network

from infra.db import enforced, firewall_targets, firewalls, network_members, networks
from infra.db.firewalls import NewFirewall
from infra.db.network_members import Holder
from infra.db.networks import NewNetwork
from infra.domain.firewalls import Rule, Target
from infra.domain.models import ServerOrder
from infra.domain.networks import mac_of
from infra.domain.port_plan import PortPlan
from infra.drivers.simulated import Fault
from tests.fix_region import NewRegion, Region, working_host
from tests.workflows.test_reports import at_work

WEB = Rule("in", "tcp", "80", ("0.0.0.0/0",))


async def guard(region: Region, order: ServerOrder) -> int:
    """A firewall on the server, in the books alone; its id."""
    async with region.pool.connection() as connection, connection.transaction():
        id = await firewalls.create(connection, NewFirewall(region.project_id, f"f{order.server_id}", (WEB,), {}))
        await firewall_targets.apply(connection, region.project_id, id, [Target(server_id=order.server_id)])
    return id


async def join(region: Region, order: ServerOrder) -> int:
    """The server in a network, in the books alone; the id of its membership."""
    zone = (await region.one("SELECT network_zone FROM locations WHERE id = %s", region.location_id))["network_zone"]
    async with region.pool.connection() as connection, connection.transaction():
        new = NewNetwork(region.project_id, f"n{order.server_id}", IPv4Network("10.8.0.0/16"), False, {})
        network = await networks.create(connection, new)
        await networks.add_subnet(connection, region.project_id, network, zone, "cloud", None)
        holder = Holder(zone, server_id=order.server_id)
        await network_members.join(connection, region.project_id, network, holder)
    row = await region.one("SELECT id FROM network_members WHERE server_id = %s", order.server_id)
    return int(row["id"])


async def guarded(region: Region, firewall: int) -> list[int]:
    async with region.pool.connection() as connection:
        return await enforced.guarded_by(connection, firewall)


def plan_on(region: Region, order: ServerOrder) -> PortPlan:
    plan = region.host.plan_of(order.server_id)
    assert plan is not None
    return plan


async def test_ports_follow_the_books_without_a_step(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        order = await region.create()
        await reports.begin()
        firewall, member = await guard(region, order), await join(region, order)
        await reports.round()
        assert plan_on(region, order).members == ()  # a while passes between two comparisons

        reports.plans_every = 0
        await reports.round()

        assert (plan_on(region, order).firewalls, plan_on(region, order).rules) == ((firewall,), (WEB,))
        assert region.host.nics_of(order.server_id) == {member}
        assert await guarded(region, firewall) == [order.server_id]


async def test_a_server_is_brought_up_with_the_ports_that_it_has_by_then(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with at_work(region):
            order = await region.create()
        await region.host.host().machines.destroy(order.server_id)  # with its host
        firewall, member = await guard(region, order), await join(region, order)

        async with working_host(region, host_id, purge=True):
            assert region.host.inventory().machines == {order.server_id: True}
            assert region.host.nics_of(order.server_id) == {member}
            assert await guarded(region, firewall) == [order.server_id]
            seed = region.host.seed_of(order.server_id)
            assert seed is not None
            assert mac_of(member) in seed.network_config


async def test_a_server_that_runs_when_its_worker_starts_keeps_its_seed(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with at_work(region):
            order = await region.create()
        written = sum(made.call == "seeds.write" for made in region.host.calls())

        async with working_host(region, host_id, purge=True):
            assert region.host.inventory().machines == {order.server_id: True}
        assert sum(made.call == "seeds.write" for made in region.host.calls()) == written


async def test_a_firewall_that_goes_while_its_host_restarts_is_told_all_the_same(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region:
        (host_id,) = region.hosts
        async with at_work(region) as reports:
            order = await region.create()
            await reports.begin()
            firewall = await guard(region, order)
            reports.plans_every = 0
            await reports.round()
        async with region.pool.connection() as connection, connection.transaction():
            await firewall_targets.remove(connection, region.project_id, firewall, [Target(server_id=order.server_id)])

        async with working_host(region, host_id, purge=True):
            assert plan_on(region, order).firewalls == ()
            assert await guarded(region, firewall) == []


async def test_one_server_whose_ports_fail_keeps_no_other_waiting(new_region: NewRegion) -> None:
    async with new_region(workers=False) as region, at_work(region) as reports:
        broken, order = await region.create(), await region.create()
        await reports.begin()
        for one in (broken, order):
            await guard(region, one)
        region.host.inject(Fault("ports.attach", server_id=broken.server_id))
        reports.plans_every = 0

        await reports.round()
        assert [bool(plan_on(region, one).firewalls) for one in (broken, order)] == [False, True]

        await reports.round()
        assert plan_on(region, broken).firewalls
