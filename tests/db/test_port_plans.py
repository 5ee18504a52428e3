"""Port plans: a host is told what the books say now, for exactly the claims it holds; and it tells what it guards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pytest_asyncio

from infra.db import addresses, claims, enforced, firewall_targets, firewalls, hosts, network_members, networks, orders
from infra.db.firewalls import NewFirewall
from infra.db.hosts import NewHost
from infra.db.network_members import Holder, Wish
from infra.db.networks import NewNetwork
from infra.db.pool import Connection
from infra.db.pools import ensure_pool
from infra.db.port_plans import plan_of, plans_of
from infra.db.reports import record_report
from infra.domain.firewalls import Rule, Target
from infra.domain.models import HostReport, server_mac
from infra.domain.networks import Route, mac_of
from infra.domain.port_plan import GuestRoute, PortPlan
from tests.db.conftest import Project

HOST, OTHER = 7, 8
EPOCH = 3
WEB = Rule("in", "tcp", "80", ("0.0.0.0/0",))
DNS = Rule("out", "udp", "53", (), ("192.0.2.53/32",))


@dataclass(frozen=True, slots=True)
class Claimed:
    """Two servers on the host, and a connection to their books."""

    project: Project
    connection: Connection
    web: int
    db: int

    async def plan(self, server_id: int) -> PortPlan:
        plan = await plan_of(self.connection, HOST, server_id, EPOCH)
        assert plan is not None
        return plan

    async def firewall(self, name: str, *rules: Rule) -> int:
        return await firewalls.create(self.connection, NewFirewall(self.project.id, name, rules, {}))

    async def network(self, name: str, ip_range: str = "10.0.0.0/16") -> int:
        id = await networks.create(self.connection, NewNetwork(self.project.id, name, IPv4Network(ip_range), False, {}))
        await networks.add_subnet(self.connection, self.project.id, id, "here", "cloud", None)
        return id

    async def join(self, network: int, server_id: int, *aliases: str) -> int:
        wish = Wish(aliases=tuple(map(IPv4Address, aliases)))
        await network_members.join(self.connection, self.project.id, network, Holder("here", server_id=server_id), wish)
        query = "SELECT id FROM network_members WHERE network_id = %s AND server_id = %s"
        (row,) = await self.project.all(query, network, server_id)
        return int(row["id"])


@pytest_asyncio.fixture
async def claimed(project: Project) -> AsyncIterator[Claimed]:
    async with project.pool.connection() as connection:
        for host_id in (HOST, OTHER):
            await hosts.register_host(
                connection, NewHost(host_id, f"h{host_id}", project.location_id, b"%32d" % host_id)
            )
            await record_report(connection, HostReport(host_id, 64, 65_536, 2_000))
        for cidr in ("203.0.113.0/24", "2001:db8:100::/48"):
            await ensure_pool(connection, project.location_id, cidr)
        servers = []
        for name, labels in (("web", {"role": "web"}), ("db", {"role": "db"})):
            accepted = await project.accept(name, labels=labels)
            order = await orders.load_order(connection, accepted.server_id)
            assert order
            assert await claims.take(connection, order, HOST, {}, EPOCH)
            await addresses.assign(connection, order, rest=0)
            servers.append(accepted.server_id)
        yield Claimed(project, connection, *servers)


async def test_a_plan_is_told_to_the_holder_of_exactly_that_claim(claimed: Claimed) -> None:
    held = await addresses.of_server(claimed.connection, claimed.web)

    plan = await claimed.plan(claimed.web)

    assert (plan.server_id, plan.epoch, plan.public.mac) == (claimed.web, EPOCH, server_mac(claimed.web))
    assert (plan.public.ipv4, plan.public.ipv6_network) == (held["ipv4"], held["ipv6"])
    assert (plan.private, plan.firewalls, plan.rules, plan.accepts) == ((), (), (), False)
    for host, epoch in ((OTHER, EPOCH), (HOST, EPOCH - 1), (HOST, EPOCH + 1)):
        assert await plan_of(claimed.connection, host, claimed.web, epoch) is None
    assert [one.server_id for one in await plans_of(claimed.connection, HOST)] == [claimed.web, claimed.db]
    assert await plans_of(claimed.connection, OTHER) == []


async def test_a_plan_holds_the_rules_that_ids_and_labels_bring(claimed: Claimed) -> None:
    direct = await claimed.firewall("direct", WEB, DNS)
    by_label = await claimed.firewall("by-label", WEB)
    await claimed.firewall("of-nobody", WEB)
    project = claimed.project.id
    await firewall_targets.apply(claimed.connection, project, direct, [Target(server_id=claimed.web)])
    await firewall_targets.apply(claimed.connection, project, by_label, [Target(selector="role in (web,db)")])
    await claimed.project.all("UPDATE projects SET inbound_policy = 'accept'")

    web, db = await plans_of(claimed.connection, HOST)

    assert (web.firewalls, web.rules) == ((direct, by_label), (WEB, DNS))
    assert (db.firewalls, db.rules) == ((by_label,), (WEB,))
    assert web.accepts
    assert web == await claimed.plan(claimed.web)


async def test_a_member_carries_the_routes_that_lead_by_it_and_its_fellows_get_them(claimed: Claimed) -> None:
    network = await claimed.network("inside")
    router = await claimed.join(network, claimed.web, "10.0.0.100")
    member = await claimed.join(network, claimed.db)
    routes = {"0.0.0.0/0": "10.0.0.2", "10.9.0.0/24": "10.0.0.100", "192.168.0.0/24": "10.0.0.77"}
    for destination, by in routes.items():
        await networks.add_route(
            claimed.connection, claimed.project.id, network, Route(IPv4Network(destination), IPv4Address(by))
        )

    (of_router,) = (await claimed.plan(claimed.web)).private
    (of_member,) = (await claimed.plan(claimed.db)).private

    assert (of_router.ip, of_router.aliases, of_router.ip_range) == ("10.0.0.2", ("10.0.0.100",), "10.0.0.0/16")
    assert of_router.carries == ("0.0.0.0/0", "10.9.0.0/24")
    assert of_router.routes == (GuestRoute("192.168.0.0/24", "10.0.0.77"),)
    assert of_member.carries == ()
    assert of_member.routes == tuple(GuestRoute(destination, by) for destination, by in routes.items())
    assert (of_router.member_id, of_member.member_id) == (router, member)
    assert (of_router.mac, of_router.vni) == (mac_of(router), of_member.vni)


async def test_networks_of_one_range_have_overlays_of_their_own(claimed: Claimed) -> None:
    for name in ("one", "other"):
        await claimed.join(await claimed.network(name), claimed.web)

    one, other = (await claimed.plan(claimed.web)).private

    assert (one.ip, one.ip_range) == (other.ip, other.ip_range)
    assert one.vni != other.vni


async def test_four_thousand_networks_made_at_once_are_told_apart(project: Project) -> None:
    """Around the end of the numbers, with some of the first still taken."""
    await project.all("SELECT setval('network_vnis', 16775000)")
    taken = "INSERT INTO networks (project_id, name, ip_range, vni) SELECT %s, 'old-' || n, '10.0.0.0/16', n"
    await project.all(taken + " FROM generate_series(4096, 4196) n", project.id)

    async def make(batch: int) -> None:
        await project.all(
            "INSERT INTO networks (project_id, name, ip_range) SELECT %s, %s || n, '10.0.0.0/16'"
            " FROM generate_series(1, 200) n",
            project.id,
            f"batch-{batch}-",
        )

    await asyncio.gather(*map(make, range(20)))

    vnis = [row["vni"] for row in await project.all("SELECT vni FROM networks WHERE name LIKE 'batch-%%'")]
    assert Counter(vnis).most_common(1)[0][1] == 1
    assert len(vnis) == 4_000
    assert not set(vnis) & set(range(4096, 4197))
    await project.all("DELETE FROM networks WHERE name LIKE 'batch-%%'")
    (row,) = await project.all(
        "INSERT INTO networks (project_id, name, ip_range) VALUES (%s, 'next', '10.0.0.0/16') RETURNING vni", project.id
    )
    assert row["vni"] not in vnis, "one that was given up is not another's at once"


async def test_what_guards_a_server_is_kept_while_its_claim_stands(claimed: Claimed) -> None:
    connection, server = claimed.connection, claimed.web
    firewall = await claimed.firewall("in-force", WEB)
    target = [Target(server_id=server)]
    await firewall_targets.apply(connection, claimed.project.id, firewall, target)

    assert await enforced.tell(connection, OTHER, server, EPOCH, [firewall]) is None
    assert await enforced.tell(connection, HOST, server, EPOCH - 1, [firewall]) is None
    assert await enforced.guarded_by(connection, firewall) == []
    assert await enforced.tell(connection, HOST, server, EPOCH, []) is False, "the firewall is wanted as well"
    assert await enforced.tell(connection, HOST, server, EPOCH, [firewall]) is True
    assert await enforced.guarded_by(connection, firewall) == [server]

    await firewall_targets.remove(connection, claimed.project.id, firewall, target)
    await firewalls.delete(connection, claimed.project.id, firewall)
    assert await enforced.guarded_by(connection, firewall) == [server], "it guards until the host says otherwise"
    assert await enforced.tell(connection, HOST, server, EPOCH, [firewall]) is False
    assert await enforced.tell(connection, HOST, server, EPOCH, []) is True
    assert await enforced.guarded_by(connection, firewall) == []
