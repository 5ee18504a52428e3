"""Private networks on the real kernel: who reaches whom on one host, and what is there after whatever was done."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pyroute2 import IPRoute

from infra.domain.errors import HostUnavailable
from infra.domain.networks import mac_of
from infra.domain.port_names import bridge_name, overlay_name, private_tap_name, tap_name
from infra.domain.port_plan import GuestRoute, PortPlan, PrivatePort
from infra.drivers import nft, private_networks, real
from infra.drivers.loose_ends import LooseEnds
from infra.drivers.ports import HostNetwork, HostPorts
from tests.host.fix_host import machine_of
from tests.network.fix_guests import Guests
from tests.network.pings import reaches
from tests.network.seen import everything, ours
from tests.port_plans import member_port, plan_for

RED, BLUE = 5001, 5002
NETWORK = HostNetwork(pools=("10.77.0.0/24",), vtep="10.255.0.1")


def red(member_id: int, **more: Any) -> PrivatePort:
    return member_port(member_id, RED, **more)


def blue(member_id: int, **more: Any) -> PrivatePort:
    return member_port(member_id, BLUE, **more)


def plan(server_id: int, *private: PrivatePort, **more: Any) -> PortPlan:
    return plan_for(machine_of(server_id), *private, **more)


def shell(script: str) -> str:
    return subprocess.run(script, shell=True, check=True, capture_output=True, text=True).stdout


@pytest.fixture
async def host(private_network: None) -> AsyncIterator[HostPorts]:
    ports = HostPorts(NETWORK)
    await ports.open()
    yield ports
    await asyncio.gather(*(ports.detach(server_id) for server_id in await ports.held()))
    await ports.close()
    assert [line for line in ours() if "pool" not in line] == []


async def test_members_reach_their_own_network_and_never_another_of_the_same_range(
    host: HostPorts, guests: Guests
) -> None:
    plans = [plan(21, red(1)), plan(22, red(2)), plan(23, blue(3, ip="10.8.0.1")), plan(24, blue(4, ip="10.8.0.2"))]
    plans.append(plan(25, blue(5, ip="10.8.0.5")))
    await asyncio.gather(*map(host.attach, plans))
    red1, red2, blue1, blue2, _ = map(guests.of, plans)
    for first, second in ((red1, red2), (blue1, blue2)):
        assert reaches(first, "10.8.0.2")
        assert reaches(second, "10.8.0.1")
    assert not reaches(red1, "10.8.0.5")  # who is there only in the other network
    seen = red1.run("ip", "neigh", "show", "10.8.0.2") + blue1.run("ip", "neigh", "show", "10.8.0.2")
    assert mac_of(2) in seen.splitlines()[0]
    assert mac_of(4) in seen.splitlines()[1]


async def test_the_same_connection_in_two_networks_at_once(host: HostPorts, guests: Guests) -> None:
    plans = [plan(21, red(1)), plan(22, red(2)), plan(23, blue(3, ip="10.8.0.1")), plan(24, blue(4, ip="10.8.0.2"))]
    await asyncio.gather(*map(host.attach, plans))
    red1, red2, blue1, blue2 = map(guests.of, plans)
    for one, other in ((red1, red2), (blue1, blue2)):
        listener = other.start("python3", "-Sc", ECHO)
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == b"listens\n"
            assert one.run("python3", "-Sc", CALL) == "hello"
        finally:
            listener.kill()
            listener.wait()
            listener.stdout.close()


ECHO = """
import socket
with socket.create_server(("10.8.0.2", 7007)) as server:
    print("listens", flush=True)
    connection = server.accept()[0]
    connection.sendall(connection.recv(100))
"""
CALL = """
import socket
with socket.create_connection(("10.8.0.2", 7007), 3, source_address=("10.8.0.1", 7008)) as connection:
    connection.sendall(b"hello")
    print(connection.recv(100).decode(), end="")
"""


async def test_an_alias_is_reached_and_may_speak(host: HostPorts, guests: Guests) -> None:
    plans = [plan(21, red(1, aliases=("10.8.7.7",))), plan(22, red(2))]
    await asyncio.gather(*map(host.attach, plans))
    first, second = map(guests.of, plans)
    assert reaches(second, "10.8.7.7")
    assert reaches(first, "10.8.0.2", source="10.8.7.7")


async def test_a_gateway_carries_what_routes_lead_through_it(host: HostPorts, guests: Guests) -> None:
    gateway = plan(21, red(1, carries=("192.168.9.0/24",)))
    member = plan(22, red(2, routes=(GuestRoute("192.168.9.0/24", "10.8.0.1"),)))
    await asyncio.gather(host.attach(gateway), host.attach(member))
    carrier, guest = guests.of(gateway), guests.of(member)
    carrier.configure("address add 192.168.9.1/32 dev lo")
    assert reaches(guest, "192.168.9.1")
    assert reaches(carrier, "10.8.0.2", source="192.168.9.1")
    await host.attach(plan(21, red(1)))
    assert not reaches(carrier, "10.8.0.2", source="192.168.9.1")


async def test_a_large_packet_passes_whole(private_network: None, guests: Guests) -> None:
    host = HostPorts(HostNetwork(private_mtu=8950))
    await host.open()
    plans = [plan(21, red(1)), plan(22, red(2))]
    await asyncio.gather(*map(host.attach, plans))
    first, _ = (guests.of(one, mtu=8950) for one in plans)
    assert reaches(first, "10.8.0.2", packet=8950)
    await asyncio.gather(host.detach(21), host.detach(22))
    await host.close()


CHANGES: list[tuple[PortPlan, PortPlan]] = [
    (plan(21), plan(21, red(1))),
    (plan(21, red(1), blue(2)), plan(21, blue(2))),
    (plan(21, red(1), blue(2)), plan(21)),
    (plan(21, red(1, aliases=("10.8.7.7", "10.8.7.8"))), plan(21, red(1, aliases=("10.8.7.8",), ip="10.8.0.99"))),
    (plan(21, red(1)), replace(plan(21, red(1)), epoch=2)),
    (plan(21), replace(plan(21), public=replace(plan(21).public, ipv4_generation=7))),
    (plan(21, red(1), blue(2)), plan(21, red(1), member_port(3, 5003))),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_plan_that_changes_leaves_exactly_what_it_says(
    host: HostPorts, before: PortPlan, after: PortPlan
) -> None:
    await host.attach(after)
    straight = ours()
    await host.detach(21)
    await host.attach(before)
    await host.attach(after)
    assert _zoneless(ours()) == _zoneless(straight)
    await host.attach(after)
    assert _zoneless(ours()) == _zoneless(straight)


def _zoneless(lines: list[str]) -> list[str]:
    return [line for line in lines if "zone" not in line]


async def test_the_last_member_takes_its_network_along(host: HostPorts) -> None:
    await asyncio.gather(host.attach(plan(21, red(1))), host.attach(plan(22, red(2))))
    assert bridge_name(RED) in everything()
    await host.detach(21)
    assert overlay_name(RED) in everything()
    await host.attach(plan(22))
    assert f"-{RED}" not in everything()


async def test_members_that_come_and_go_at_once_agree_on_their_network(host: HostPorts) -> None:
    async def come_and_go(server_id: int) -> None:
        for _ in range(3):
            await host.attach(plan(server_id, red(server_id)))
            await host.detach(server_id)
        await host.attach(plan(server_id, red(server_id)))

    await asyncio.gather(*map(come_and_go, range(21, 25)))
    assert await host.mend() == set()
    assert all(private_tap_name(member) in everything() for member in range(21, 25))


@pytest.mark.parametrize(
    "damage",
    [
        "nft flush ruleset",
        "nft delete table bridge puchify",
        "bridge fdb del {mac} dev {tap} master",
        "ip neigh flush dev {bridge} nud permanent",
        "ip link set {tap} nomaster",
        "ip link set {tap} down",
        "ip link set {tap} mtu 1400",
        "ip link set {bridge} mtu 1400",
        "ip link set {overlay} mtu 1400",
        "ip link set {public} mtu 1400",
        "ip link del {tap}",
        "ip link del {overlay}",
        "ip link del {bridge}",
        "ip route flush proto 210; ip address flush dev {public}",
    ],
)
async def test_what_somebody_upsets_is_mended(host: HostPorts, damage: str) -> None:
    await host.attach(plan(21, red(1)))
    before = ours()
    assert await host.mend() == set()
    names = {"tap": private_tap_name(1), "public": tap_name(21), "mac": mac_of(1)}
    shell(damage.format(**names, bridge=bridge_name(RED), overlay=overlay_name(RED)))
    assert await host.mend() == {21}
    assert ours() == before
    assert await host.mend() == set()


async def test_the_links_of_a_network_keep_their_macs_whoever_comes_and_goes(host: HostPorts) -> None:
    await host.attach(plan(21, red(1), blue(3)))
    links = [name(vni) for vni in (RED, BLUE) for name in (bridge_name, overlay_name)]
    before = {link: mac_on(link) for link in links}
    low = f"ip link add low-{RED} address 02:00:00:00:00:01 type veth peer name far-{RED}"
    shell(f"{low}; ip link set low-{RED} master {bridge_name(RED)}")
    with_others = {link: mac_on(link) for link in links}
    shell(f"ip link del low-{RED}")
    await host.attach(plan(22, red(2)))
    await host.detach(21)
    await host.attach(plan(21, red(1), blue(3)))
    assert before == with_others == {link: mac_on(link) for link in links}
    assert len(set(before.values())) == len(links)


def mac_on(link: str) -> str:
    return shell(f"ip -o link show {link}").partition("link/ether ")[2].split()[0]


async def test_entries_that_the_routing_plane_took_away_are_back_after_a_second(host: HostPorts) -> None:
    await host.attach(plan(21, red(1)))
    before = ours()
    shell(f"bridge fdb del {mac_of(1)} dev {private_tap_name(1)} master; ip neigh flush dev {bridge_name(RED)} nud all")
    assert ours() != before
    async with asyncio.timeout(60):
        while ours() != before:  # noqa: ASYNC110  it is the kernel's
            await asyncio.sleep(0.1)


async def test_a_kernel_without_br_netfilter_is_told_of(host: HostPorts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.hindrances() == []
    monkeypatch.setattr(private_networks, "SYSCTLS", Path("/nowhere"))
    assert any("br_netfilter" in hindrance for hindrance in host.hindrances())


async def test_care_goes_on_after_whatever_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rounds: list[int] = []

    class Surprising:
        async def guard(self) -> set[int]:
            rounds.append(1)
            raise KeyError("surprise")

        mend = guard

    monkeypatch.setattr(real, "CARE_EVERY", 0.001)
    care = asyncio.create_task(real.keep_in_order(cast(HostPorts, Surprising()), cast(LooseEnds, None), tmp_path))
    async with asyncio.timeout(60):
        while len(rounds) < 2:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.001)
    care.cancel()


async def test_what_is_nobodys_is_taken_away(host: HostPorts) -> None:
    await host.attach(plan(21, red(1)))
    before = ours()
    shell(
        "ip tuntap add pn-zzz mode tap; ip link add pb-9999 type bridge; ip link set pn-zzz master pb-9999;"
        "nft add chain bridge puchify in-pn-zzy"
    )
    await host.mend()
    assert ours() == before


async def test_a_network_of_others_on_this_machine_is_let_through_and_left_alone(host: HostPorts) -> None:
    shell("ip link add pb-9999 up type bridge forward_delay 0 mcast_snooping 0 nf_call_iptables 1")
    shell("ip link add other9999 type veth peer name far9999")
    shell("ip link set other9999 master pb-9999 up")
    await host.mend()
    assert '"pb-9999" : goto pb-9999' in everything()
    await host.attach(plan(21, member_port(1, 9999)))
    await host.detach(21)
    assert '"pb-9999" : goto pb-9999' in everything()
    assert "other9999" in shell("ip link show master pb-9999")
    shell("ip link del other9999; ip link del pb-9999")
    await host.mend()
    assert "9999" not in everything()


async def test_a_new_worker_finds_what_the_old_one_left(host: HostPorts) -> None:
    await host.attach(plan(21, red(1), blue(2)))
    before = ours()
    successor = HostPorts(NETWORK)
    await successor.open()
    assert await successor.held() == {21}
    await successor.mend()
    assert ours() == before
    await successor.attach(plan(21, blue(2)))  # what it has lost meanwhile goes
    assert f"-{RED}" not in everything()
    await successor.detach(21)
    assert ours() == []
    await successor.close()
    await host.open()


class Killed(OSError):
    """The worker, at this call."""


class Killer:
    """Ends the work at its n-th call to the kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 10**9
        for owner, name in ((IPRoute, "_run_generic_rtnl"), (nft, "apply")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return call(*arguments, **named)

        return counted

    async def kills(self, work: Coroutine[Any, Any, None], after: int) -> bool:
        """Whether it did: False, when the work takes no more calls."""
        self.left = after
        try:
            await work
        except HostUnavailable:
            return True
        finally:
            self.left = 10**9
        return False


async def test_killed_at_any_call_the_next_worker_comes_to_the_same(
    host: HostPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = plan(21, red(1, aliases=("10.8.7.7",)), blue(2)), plan(21, red(1, ip="10.8.0.9"))
    await host.attach(after)
    wanted = _zoneless(ours())
    killer, calls = Killer(monkeypatch), 0
    while True:
        await host.attach(before)
        if not await killer.kills(host.attach(after), calls):
            break
        host = await _successor()
        await host.attach(after)
        await host.mend()  # as every few seconds
        assert _zoneless(ours()) == wanted, f"killed after {calls} calls"
        calls += 1
    assert calls > 20


@pytest.mark.parametrize("begun", ["attach", "detach"])
async def test_killed_at_any_call_the_next_worker_takes_all_away(
    host: HostPorts, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    mine, killer, calls = plan(21, red(1)), Killer(monkeypatch), 0
    while True:
        if begun == "detach":
            await host.attach(mine)
        if not await killer.kills(host.attach(mine) if begun == "attach" else host.detach(21), calls):
            break
        host = await _successor()
        for server_id in await host.held():
            await host.detach(server_id)
        await host.mend()
        assert ours() == [], f"killed after {calls} calls"
        calls += 3  # each takes the kernel as long as taking links away does
    assert calls > 10


async def _successor() -> HostPorts:
    """Of a worker that is dead: nobody closes that."""
    successor = HostPorts(NETWORK)
    await successor.open()
    return successor
