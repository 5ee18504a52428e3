"""Members of networks: the lowest address that is free, whatever is taken, and each of them once."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv4Address, IPv4Network

import pytest

from infra.db import network_members, networks
from infra.db.network_members import Holder, Member, Wish
from infra.db.networks import NewNetwork
from infra.domain.errors import InvalidInput
from infra.domain.networks import is_usable
from infra.domain.refusals import IpNotAvailable, ServerAlreadyAttached
from tests.db.conftest import Project

ZONE = "here"


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
