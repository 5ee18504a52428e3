"""Ports on the real kernel: what attach builds, that it converges, and what a guest can and cannot send through one."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from infra.domain.models import Addresses
from infra.domain.port_names import tap_name
from infra.drivers.ports import HostNetwork, HostPorts
from tests.host.fix_host import machine_of
from tests.host.frames import GuestEnd, advertisement, arp, ethernet, ping4, ping6, udp4, udp6
from tests.port_plans import plan_for

ALICE, BOB = machine_of(11), machine_of(12)
ALICE4, ALICE6, BOB4, BOB6 = "10.77.0.11", "2001:db8:77:b::1", "10.77.0.12", "2001:db8:77:c::1"


def ip(*words: str) -> str:
    return shell(" ".join(("ip", *words)))


def shell(script: str) -> str:
    return subprocess.run(script, shell=True, check=True, capture_output=True, text=True).stdout


def everything() -> str:
    """All that a port is made of, without counters and indices."""
    tap = tap_name(ALICE.server_id)
    shown = [ip("-o", "address", "show", "dev", tap), ip("neigh", "show", "dev", tap), ip("-d", "link", "show", tap)]
    shown += [ip("route"), ip("-6", "route")]
    shown += [shell("nft -s list ruleset")]
    return "\n".join(shown)


async def test_attach_gives_a_server_its_addresses_and_a_gateway(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    tap = tap_name(ALICE.server_id)
    assert f"{ALICE4} dev {tap} proto 210 scope link metric 16000000" in ip("route")
    assert f"2001:db8:77:b::/64 via {ALICE6} dev {tap} proto 210" in ip("-6", "route")
    assert "unreachable 10.77.0.0/24 proto 210" in ip("route")
    assert "172.31.1.1/32" in ip("address", "show", "dev", tap)
    assert "fe80::1/64" in ip("address", "show", "dev", tap)
    assert f"{ALICE4} lladdr {ALICE.mac} PERMANENT" in ip("neigh", "show", "dev", tap)
    assert "user libvirt-qemu" in ip("-d", "link", "show", tap)
    assert await ports.held() == {ALICE.server_id}


async def test_attach_again_changes_nothing(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    before = everything()
    await asyncio.gather(ports.attach(plan_for(ALICE)), ports.attach(plan_for(ALICE)))
    assert everything() == before


@pytest.mark.parametrize(
    "damage",
    [
        "ip link del {tap}",
        "ip link del {tap}; ip tuntap add {tap} mode tap",  # somebody else's, by its owner
        "ip link del {tap}; ip link add {tap} type veth",
        "ip address flush dev {tap}; ip route flush dev {tap}; ip link set {tap} down",
        "nft flush ruleset",
        "nft delete table netdev puchify",
        "nft flush chain inet puchify in-{tap}",
        "ip neigh flush dev {tap} nud permanent; ip -6 route flush proto 210",
    ],
)
async def test_attach_mends_what_is_half_there(ports: HostPorts, damage: str) -> None:
    await ports.attach(plan_for(ALICE))
    before = everything()
    shell(damage.format(tap=tap_name(ALICE.server_id)))
    await ports.attach(plan_for(ALICE))
    after = everything()
    if "unreachable 2001" not in after:  # flushed with the rest: not the port's
        before = "\n".join(line for line in before.splitlines() if "unreachable 2001" not in line)
    assert _without_index(after) == _without_index(before)


def _without_index(shown: str) -> list[str]:
    return sorted(line.lstrip("0123456789: \t") for line in shown.splitlines())


async def test_attach_with_other_addresses_drops_the_old(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    await ports.attach(plan_for(replace(ALICE, addresses=Addresses("10.77.0.99", None))))
    assert "10.77.0.99 dev" in ip("route")
    assert f"{ALICE4} dev" not in ip("route")
    assert "2001:db8:77:b::" not in ip("-6", "route")


@pytest.mark.parametrize(
    "damage", ["nft flush ruleset", "nft delete table netdev puchify", "nft delete table inet puchify"]
)
async def test_rules_that_somebody_flushed_are_mended(ports: HostPorts, damage: str) -> None:
    await asyncio.gather(ports.attach(plan_for(ALICE)), ports.attach(plan_for(BOB)))
    await ports.detach(BOB.server_id)
    before = everything()
    assert await ports.guard() == set()
    shell(damage)
    assert await ports.guard() == {ALICE.server_id}
    assert sorted(everything().splitlines()) == sorted(before.splitlines())
    assert await ports.guard() == set()


@pytest.mark.parametrize("chain", ["forward", "guests", "guest_to_host", "leave"])
async def test_a_chain_of_the_host_that_somebody_emptied_is_mended(ports: HostPorts, chain: str) -> None:
    await ports.attach(plan_for(ALICE))
    before = everything()
    shell(f"nft flush chain inet puchify {chain}")
    await ports.mend()
    assert sorted(everything().splitlines()) == sorted(before.splitlines())


async def test_detach_leaves_nothing_of_the_server_and_all_of_others(ports: HostPorts) -> None:
    await asyncio.gather(ports.attach(plan_for(ALICE)), ports.attach(plan_for(BOB)))
    await asyncio.gather(ports.detach(ALICE.server_id), ports.detach(ALICE.server_id))
    await ports.detach(ALICE.server_id)
    assert await ports.held() == {BOB.server_id}
    left = ip("link") + ip("route") + ip("-6", "route") + shell("nft list ruleset")
    assert tap_name(ALICE.server_id) not in left
    assert tap_name(BOB.server_id) in left


@pytest.mark.parametrize("rest", ["ip link del {tap}", "nft flush ruleset"])
async def test_detach_finishes_what_somebody_began(ports: HostPorts, rest: str) -> None:
    await ports.attach(plan_for(ALICE))
    shell(rest.format(tap=tap_name(ALICE.server_id)))
    await ports.detach(ALICE.server_id)
    assert await ports.held() == set()


async def test_held_tells_of_a_rule_without_its_tap(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    ip("link", "del", tap_name(ALICE.server_id))
    assert await ports.held() == {ALICE.server_id}


async def test_close_takes_the_ground_away_only_when_nobody_stands_on_it(private_network: None) -> None:
    for last in (False, True):
        ports = HostPorts(HostNetwork(pools=("10.77.0.0/24",)))
        await ports.open()
        await (ports.detach(ALICE.server_id) if last else ports.attach(plan_for(ALICE)))
        await ports.close()
        assert ("unreachable" in ip("route")) is not last
        assert ("puchify" in shell("nft list tables")) is not last


async def test_a_worker_that_has_no_pools_any_more_lets_their_packets_go_on(ports: HostPorts) -> None:
    assert "unreachable 10.77.0.0/24" in ip("route")
    successor = HostPorts(HostNetwork())
    await successor.open()
    assert "unreachable" not in ip("route") + ip("-6", "route", "show", "proto", "210")


@contextmanager
def neighbours() -> Iterator[tuple[GuestEnd, GuestEnd]]:
    with GuestEnd(tap_name(ALICE.server_id)) as alice, GuestEnd(tap_name(BOB.server_id)) as bob:
        yield alice, bob


A, B = ALICE.mac, BOB.mac
LL = "fe80::ff:fe00:b"
FORGED = {
    "ipv4 address": udp4(A, "10.77.0.13", BOB4, b"MARK", (1, 22)),
    "ipv4 address of the gateway": udp4(A, "172.31.1.1", BOB4, b"MARK"),
    "ipv4 mac": udp4(B, ALICE4, BOB4, b"MARK"),
    "ipv6 address": udp6(A, "2001:db8:77:d::1", BOB6, b"MARK"),
    "ipv6 mac": udp6(B, ALICE6, BOB6, b"MARK"),
    "dhcp server": udp4(A, ALICE4, "255.255.255.255", b"MARK", (67, 68)),
    "dhcpv6 server": udp6(A, ALICE6, "ff02::1", b"MARK", (547, 546)),
    "arp sender": arp(A, BOB4),
    "arp sender mac": arp(A, ALICE4, sender_mac=B),
    "neighbour advertisement": advertisement(A, LL, BOB6),
    "router advertisement": advertisement(A, LL, "::", kind=134),
    "vlan": ethernet(A, b"\x00\x07\x08\x00" + udp4(A, ALICE4, BOB4, b"MARK")[14:], 0x8100),
    "ethertype": ethernet(A, b"MARK", 0x88B5),
}
HONEST = {
    "ipv4": udp4(A, ALICE4, BOB4, b"MARK"),
    "ipv6": udp6(A, ALICE6, BOB6, b"MARK"),
    "ipv6 of its network": udp6(A, "2001:db8:77:b::abcd", BOB6, b"MARK"),
    "arp": arp(A, ALICE4),
    "neighbour advertisement": advertisement(A, LL, ALICE6),
}


async def count(frame: bytes, ports: HostPorts) -> tuple[int, int]:
    """How often ``frame``, sent by Alice, was stopped at her tap, and how often it came in."""
    await ports.attach(plan_for(ALICE))
    await ports.attach(plan_for(BOB))
    tap = tap_name(ALICE.server_id)
    hook = f'type filter hook ingress device "{tap}" priority -200;'
    shell(f"nft 'table netdev watch {{ chain seen {{ {hook} counter; }}; }}'")
    try:
        with neighbours() as (alice, _):
            await asyncio.sleep(0.05)
            before = _packets("netdev", "puchify", tap), _packets("netdev", "watch", "seen")
            alice.send(frame)
            await asyncio.sleep(0.05)
            after = _packets("netdev", "puchify", tap), _packets("netdev", "watch", "seen")
    finally:
        shell("nft delete table netdev watch")
    return after[0] - before[0], after[1] - before[1]


def _packets(family: str, table: str, chain: str) -> int:
    return sum(map(int, re.findall(r"counter packets (\d+)", shell(f"nft list chain {family} {table} {chain}"))))


@pytest.mark.parametrize("kind", FORGED)
async def test_a_forged_frame_ends_at_the_tap(ports: HostPorts, kind: str) -> None:
    assert await count(FORGED[kind], ports) == (1, 0)


@pytest.mark.parametrize("kind", HONEST)
async def test_an_honest_frame_comes_in(ports: HostPorts, kind: str) -> None:
    assert await count(HONEST[kind], ports) == (0, 1)


async def test_guests_reach_each_other_where_the_rules_let_them(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    await ports.attach(plan_for(BOB))
    with neighbours() as (alice, bob):
        await asyncio.sleep(0.05)
        bob.send(udp4(B, BOB4, ALICE4, b"UNASKED", (9, 1000)))
        assert not alice.received(b"UNASKED", 0.3)
        alice.send(udp4(A, ALICE4, BOB4, b"NOT-SSH"))
        assert not bob.received(b"NOT-SSH", 0.3)
        for ping in (ping4(A, ALICE4, BOB4, b"PING"), ping6(A, ALICE6, BOB6, b"PING")):
            alice.send(ping)
            assert bob.received(b"PING")


async def test_a_guest_reaches_no_service_of_the_host(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service, GuestEnd(tap_name(11)) as alice:
        service.bind(("0.0.0.0", 0))
        service.settimeout(0.3)
        await asyncio.sleep(0.05)
        alice.send(udp4(A, ALICE4, "172.31.1.1", b"HELLO", (1000, service.getsockname()[1])))
        with pytest.raises(TimeoutError):
            service.recv(100)
        alice.send(ping4(A, ALICE4, "172.31.1.1", b"PING"))
        assert alice.received(b"PING")  # the echo reply


async def test_a_packet_to_an_absent_guest_is_unreachable(ports: HostPorts) -> None:
    await ports.attach(plan_for(ALICE))
    with GuestEnd(tap_name(ALICE.server_id)) as alice:
        await asyncio.sleep(0.05)
        alice.send(ping4(A, ALICE4, "10.77.0.200", b"PING"))
        assert alice.received(bytes([3, 1]))  # destination unreachable, host
