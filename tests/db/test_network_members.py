"""Members of networks: the lowest address that is free, whatever is taken, and each of them once."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from psycopg.rows import dict_row

from infra.db import affected, changes, default_networks, network_members, networks
from infra.db.network_members import Holder, Member, Wish
from infra.db.networks import NewNetwork
from infra.db.pool import Connection
from infra.domain.changes import Resource
from infra.domain.errors import InvalidInput, QuotaExceeded
from infra.domain.networks import MOST_NETWORKS, is_usable
from infra.domain.refusals import IpNotAvailable, ServerAlreadyAttached, ServiceError
from tests.db.conftest import Project
from tests.fix_region import eventually

ZONE = "here"


class Explaining(Connection):
    """A connection that notes how each look for a free address goes through those that are not."""

    looks: list[str]

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if query == network_members.TAKE:
            async with self.transaction(force_rollback=True):
                told = await super().execute(f"EXPLAIN (ANALYZE, COSTS OFF) {query}".encode(), params)
                self.looks += [row["QUERY PLAN"] for row in await told.fetchall() if "WindowAgg" in row["QUERY PLAN"]]
        return await super().execute(query, params, **options)


async def network(project: Project, ip_range: str, *subnets: str) -> int:
    async with project.pool.connection() as connection:
        new = NewNetwork(project.id, f"of {ip_range} {subnets}", IPv4Network(ip_range), False, {})
        id = await networks.create(connection, new)
        for subnet in subnets:
            await networks.add_subnet(connection, project.id, id, ZONE, "cloud", IPv4Network(subnet))
        return id


async def join(project: Project, network_id: int, server_id: int, *aliases: str, ip: str | None = None) -> Member:
    wish = Wish(IPv4Address(ip) if ip else None, aliases=tuple(map(IPv4Address, aliases)))
    async with project.pool.connection() as connection, connection.transaction():
        holder = Holder(ZONE, server_id=server_id)
        return await network_members.join(connection, project.id, network_id, holder, wish)


@pytest.mark.parametrize("seed", range(12))
async def test_the_lowest_free_address_is_given(project: Project, seed: int) -> None:
    """Subnets small and at the edges: that of the network's gateway, that of the hosts' gateway, the last one."""
    dice = random.Random(seed)
    ip_range, subnet = dice.choice(
        [
            ("10.0.0.0/24", "10.0.0.0/29"),
            ("10.0.0.0/24", "10.0.0.248/29"),
            ("10.0.0.0/16", "10.0.7.0/28"),
            ("172.31.0.0/16", "172.31.1.0/29"),
            ("10.0.0.0/24", "10.0.0.4/30"),
        ]
    )
    id = await network(project, ip_range, subnet)
    usable = [ip for ip in IPv4Network(subnet) if is_usable(IPv4Network(ip_range), IPv4Network(subnet), ip)]
    taken = set(dice.sample(usable, dice.randint(0, len(usable) - 1)))
    for n, ip in enumerate(sorted(taken, key=lambda _: dice.random())):
        await join(project, id, (await project.accept(f"taker-{n}")).server_id, ip=str(ip))

    member = await join(project, id, (await project.accept("next")).server_id)

    assert IPv4Address(member.ip) == min(set(usable) - taken)


async def test_a_full_subnet_is_passed_over_and_a_full_network_says_so(project: Project) -> None:
    id = await network(project, "10.0.0.0/24", "10.0.0.4/30", "10.0.0.8/30")
    servers = [(await project.accept(f"web-{n}")).server_id for n in range(5)]

    ips = [(await join(project, id, server)).ip for server in servers[:4]]

    assert ips == ["10.0.0.5", "10.0.0.6", "10.0.0.9", "10.0.0.10"]
    with pytest.raises(IpNotAvailable):
        await join(project, id, servers[4])


async def test_thirty_join_at_once_and_have_an_address_each(project: Project) -> None:
    id = await network(project, "10.0.0.0/16", "10.0.1.0/24")
    servers = [(await project.accept(f"web-{n}")).server_id for n in range(30)]

    members = await asyncio.gather(*(join(project, id, server) for server in servers))

    assert sorted(IPv4Address(member.ip) for member in members) == [IPv4Address("10.0.1.1") + n for n in range(30)]


async def test_who_joins_waits_for_no_other_who_does(project: Project) -> None:
    """The other may take its time, and may not come after all: then its address is the next one's."""
    id = await network(project, "10.0.0.0/16", "10.0.1.0/24")
    slow, quick, last = [(await project.accept(name)).server_id for name in ("slow", "quick", "last")]

    async with project.pool.connection() as connection, connection.transaction(force_rollback=True):
        first = await network_members.join(connection, project.id, id, Holder(ZONE, server_id=slow))
        async with asyncio.timeout(60):
            second = await join(project, id, quick)
    third = await join(project, id, last)

    assert [member.ip for member in (first, second, third)] == ["10.0.1.1", "10.0.1.2", "10.0.1.1"]


@pytest.mark.parametrize("comes", [True, False])
async def test_the_last_address_is_waited_for(project: Project, comes: bool) -> None:
    id = await network(project, "10.0.0.0/24", "10.0.0.4/30")
    servers = [(await project.accept(f"web-{n}")).server_id for n in range(3)]
    await join(project, id, servers[0])

    async with project.pool.connection() as connection, connection.transaction(force_rollback=not comes):
        await network_members.join(connection, project.id, id, Holder(ZONE, server_id=servers[1]))
        waiting = asyncio.create_task(join(project, id, servers[2]))
        await eventually(lambda: _waits(project), every=0.01)
    (end,) = await asyncio.gather(waiting, return_exceptions=True)

    assert isinstance(end, IpNotAvailable) if comes else isinstance(end, Member) and end.ip == "10.0.0.6"


async def test_more_at_once_than_are_looked_at_have_an_address_each(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_members, "LOOK", 2)
    id = await network(project, "10.0.0.0/16", "10.0.1.0/24")
    servers = [(await project.accept(f"web-{n}")).server_id for n in range(15)]

    members = await asyncio.gather(*(join(project, id, server) for server in servers))

    assert len({member.ip for member in members}) == 15


async def test_a_subnet_does_not_go_while_somebody_comes_into_it(project: Project) -> None:
    id = await network(project, "10.0.0.0/16", "10.0.1.0/24")
    server = (await project.accept("web")).server_id

    async def delete() -> None:
        async with project.pool.connection() as connection, connection.transaction():
            await networks.delete_subnet(connection, project.id, id, IPv4Network("10.0.1.0/24"))

    async with project.pool.connection() as connection, connection.transaction():
        await network_members.join(connection, project.id, id, Holder(ZONE, server_id=server))
        deleting = asyncio.create_task(delete())
        await eventually(lambda: _waits(project), every=0.01)
    with pytest.raises(ServiceError):
        await deleting


async def _waits(project: Project) -> bool:
    """Whether somebody waits for another's transaction."""
    (row,) = await project.all(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(row["n"])


async def test_what_is_asked_for_is_given_or_refused(project: Project) -> None:
    id = await network(project, "10.0.0.0/16", "10.0.1.0/24")
    one, other = [(await project.accept(name)).server_id for name in ("one", "other")]

    member = await join(project, id, one, "10.0.1.60", "10.0.1.50", ip="10.0.1.7")

    assert (member.ip, member.aliases) == ("10.0.1.7", ["10.0.1.50", "10.0.1.60"])
    with pytest.raises(ServerAlreadyAttached):
        await join(project, id, one)
    for ip, aliases in (("10.0.1.50", ()), (None, ("10.0.1.7",)), ("10.0.1.8", ("10.0.1.8",)), (None, ("10.0.1.255",))):
        with pytest.raises(IpNotAvailable):
            await join(project, id, other, *aliases, ip=ip)
    with pytest.raises(InvalidInput):
        await join(project, id, other, ip="10.0.2.1")
    found = await project.all("SELECT count(*) AS n FROM network_members WHERE network_id = %s", id)
    assert found == [{"n": 1}]


async def test_twenty_first_orders_make_one_default_network(project: Project) -> None:
    orders = [project.accept(f"web-{n}", default_network=True, network_zone=ZONE) for n in range(20)]
    await project.all("INSERT INTO network_zones (name) VALUES (%s)", ZONE)

    await asyncio.gather(*orders)

    ((network,), subnets) = (
        await project.all("SELECT id, name FROM networks"),
        await project.all("SELECT * FROM subnets"),
    )
    assert (network["name"], [subnet["network_zone"] for subnet in subnets]) == ("default", [ZONE])
    ips = await project.all("SELECT ip FROM members WHERE network_id = %s", network["id"])
    assert len({row["ip"] for row in ips}) == 20


async def test_first_orders_wait_for_the_network_and_not_for_each_other(project: Project) -> None:
    """One has seen it made, and is long: the next one finds it as well."""
    await project.all("INSERT INTO network_zones (name) VALUES (%s)", ZONE)
    async with (
        project.pool.connection() as making,
        project.pool.connection() as second,
        project.pool.connection() as third,
    ):
        made = asyncio.Event()

        async def first() -> int:
            async with making.transaction():
                id = await default_networks.ensure(making, project.id, ZONE)
                await made.wait()
            return id

        async def found(connection: Connection, until: asyncio.Event) -> int:
            async with connection.transaction():
                id = await default_networks.ensure(connection, project.id, ZONE)
                until.set()
                await both.wait()
            return id

        both, reached = asyncio.Event(), (asyncio.Event(), asyncio.Event())
        tasks = [asyncio.create_task(first())]
        await eventually(lambda: _waiting_for(project, 0), every=0.01)
        tasks += [asyncio.create_task(found(second, reached[0])), asyncio.create_task(found(third, reached[1]))]
        await eventually(lambda: _waiting_for(project, 2), every=0.01)
        made.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*(one.wait() for one in reached))
        both.set()
        assert len(set(await asyncio.gather(*tasks))) == 1


async def test_a_default_network_that_is_full_gets_a_further_subnet(project: Project) -> None:
    await project.all("INSERT INTO network_zones (name) VALUES (%s)", ZONE)
    await project.accept("first", default_network=True, network_zone=ZONE)
    await project.all(
        "INSERT INTO network_addresses (network_id, ip, member_id, is_alias)"
        " SELECT network_id, inet '10.0.0.0' + n, id, true FROM network_members, generate_series(3, 4094) n"
    )

    orders = [project.accept(f"web-{n}", default_network=True, network_zone=ZONE) for n in range(4)]
    servers = [accepted.server_id for accepted in await asyncio.gather(*orders)]

    subnets = await project.all("SELECT ip_range::text, network_zone FROM subnets ORDER BY ip_range")
    assert subnets == [{"ip_range": f"10.0.{third}.0/20", "network_zone": ZONE} for third in (0, 16)]
    ips = await project.all("SELECT ip FROM members WHERE server_id = ANY(%s) ORDER BY ip", servers)
    assert [row["ip"] for row in ips] == [f"10.0.16.{n}" for n in range(1, 5)]


async def test_a_subnet_that_is_full_is_not_looked_through(project: Project) -> None:
    id = await network(project, "10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24")
    await join(project, id, (await project.accept("first")).server_id, ip="10.0.0.2")
    await project.all(
        "INSERT INTO network_addresses (network_id, ip, member_id, is_alias)"
        " SELECT network_id, inet '10.0.0.0' + n, id, true FROM network_members, generate_series(3, 254) n"
    )
    server = (await project.accept("second")).server_id

    async with await Explaining.connect(project.pool.conninfo, autocommit=True, row_factory=dict_row) as connection:
        connection.looks = []
        async with connection.transaction():
            member = await network_members.join(connection, project.id, id, Holder(ZONE, server_id=server))

    assert member.ip == "10.0.1.1"
    assert ["never executed" in window for window in connection.looks] == [True, False]


async def test_the_first_address_may_be_wanted_as_an_alias(project: Project) -> None:
    id = await network(project, "10.0.0.0/24", "10.0.0.0/28")
    one, other = [(await project.accept(name)).server_id for name in ("one", "other")]

    member = await join(project, id, one, "10.0.0.2")

    assert (member.ip, member.aliases) == ("10.0.0.3", ["10.0.0.2"])
    with pytest.raises(IpNotAvailable):
        await join(project, id, other, "10.0.0.5", ip="10.0.0.5")


async def test_a_server_is_in_no_more_networks_than_a_machine_has_ports_for(project: Project) -> None:
    server = (await project.accept("busy")).server_id
    ids = [await network(project, f"10.{n}.0.0/24", f"10.{n}.0.0/28") for n in range(MOST_NETWORKS + 3)]
    for id in ids[: MOST_NETWORKS - 1]:
        await join(project, id, server)

    ends = await asyncio.gather(*(join(project, id, server) for id in ids[MOST_NETWORKS - 1 :]), return_exceptions=True)

    refused = [end for end in ends if isinstance(end, QuotaExceeded)]
    assert (len(refused), len(ends)) == (3, 4)
    assert refused[0].message == "a server is in at most 8 networks"
    with pytest.raises(ServerAlreadyAttached):
        await join(project, ids[0], server)
    assert await project.all("SELECT count(*) AS n FROM network_members") == [{"n": MOST_NETWORKS}]


async def _waiting_for(project: Project, many: int) -> bool:
    """Whether so many wait for the lock of the project, which somebody has."""
    (row,) = await project.all(
        "SELECT count(*) FILTER (WHERE NOT granted) AS waiting,"
        " count(*) FILTER (WHERE mode = 'RowShareLock' AND relation = 'projects'::regclass) AS locking FROM pg_locks"
        " WHERE database IS NULL OR database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return bool(row["locking"]) and int(row["waiting"]) >= many


async def test_who_was_in_a_network_that_is_gone_is_looked_after_by_one_action(project: Project) -> None:
    id = await network(project, "10.0.0.0/24", "10.0.0.0/25")
    servers = [(await project.accept(f"web-{n}")).server_id for n in range(5)]
    for server in servers:
        await join(project, id, server)
    async with project.pool.connection() as connection:
        async with connection.transaction():
            action, change = await changes.accept(
                connection, project.id, "local", "delete_network", [Resource("network", id)]
            )
            await network_members.leave_behind(connection, action.id, id)
            await networks.KIND.delete(connection, project.id, id)

        assert await affected.servers(connection, change) == servers
        await changes.finish(connection, change, [])
        assert await affected.servers(connection, change) == []
