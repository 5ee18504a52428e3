"""Nobody fills the host's table of connections, which all of its guests share, in no time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.drivers import connections, nft
from infra.drivers.connections import TABLE
from infra.drivers.ports import HostNetwork, HostPorts
from tests.host.frames import GuestEnd, ping4
from tests.network.fix_wire import (
    ALICE,
    BOB,
    TOLD,
    UPLINK,
    UPLINK_MAC,
    WORLD_MAC,
    Wire,
    forget_connections,
    private_tap,
    public_tap,
)
from tests.network.packets import Packet, encoded, marks
from tests.network.test_truth_table import MAC, NETWORK_A, Way, overlay_name, ways
from workers.wiring import host_network

PACE, MANY = 1, 150
AT_ONCE = range(55, 100)
"""How many of so many pass: those of a minute but for a few, and some more if the machine takes its time."""


@contextmanager
def paced(wire: Wire) -> Iterator[tuple[list[Way], list[GuestEnd]]]:
    """Whose ways have been gone once: what tells of a batch's end is no new connection."""
    nft.apply(replace(host_network(TOLD), pace=PACE).rules())
    wire.apply(replace(ALICE, accepts=True))
    with wire.ends(public_tap(ALICE), UPLINK, private_tap(ALICE), overlay_name(NETWORK_A)) as ends:
        forget_connections()
        for way in (found := ways(ends)):
            way.arrived([])
            way.arrived([Packet(999_999, "udp", REMOTE[way.name], 9)])
        yield found, ends


REMOTE = {
    "in from the world": "198.18.0.1",
    "out to the world": "198.18.0.1",
    "in from its network": "10.0.0.200",
    "out to its network": "10.0.0.200",
}
WAYS = sorted(REMOTE)


@pytest.mark.parametrize("name", WAYS)
def test_connections_beyond_the_pace_do_not_begin(wire: Wire, name: str) -> None:
    with paced(wire) as (found, _):
        way = next(way for way in found if way.name == name)
        assert len(marks(way.arrived(several("tcp", REMOTE[name])))) in AT_ONCE


@pytest.mark.parametrize("name", WAYS)
def test_packets_of_one_connection_are_not_counted(wire: Wire, name: str) -> None:
    with paced(wire) as (found, _):
        way = next(way for way in found if way.name == name)
        stream = [Packet(1, "udp", REMOTE[name], 9)] * MANY
        assert sum(marks([frame]) == {1} for frame in way.arrived(stream)) == MANY


def test_connections_to_the_host_itself_are_counted(wire: Wire) -> None:
    with paced(wire) as (_, (alice, *_)):
        for packet in several("echo", "172.31.1.1"):
            alice.send(encoded(packet, MAC, str(ALICE.public.ipv4), packet.remote, "fe:00:00:00:00:01"))
        alice.send(ping4(MAC, str(ALICE.public.ipv4), "172.31.1.1", b"LAST"))
        assert len(marks(alice.until(b"LAST"))) in AT_ONCE


@pytest.mark.parametrize("target", ["172.31.1.1", "192.0.2.2"])
def test_what_the_host_refuses_uses_up_no_pace(wire: Wire, target: str) -> None:
    with paced(wire) as (found, (alice, *_)):
        for packet in several("udp", target):
            alice.send(encoded(packet, MAC, str(ALICE.public.ipv4), target, "fe:00:00:00:00:01"))
        outward = next(way for way in found if way.name == "out to the world")
        assert len(marks(outward.arrived(several("tcp", "198.18.0.1")))) in AT_ONCE


@pytest.mark.parametrize("name", ["in from the world", "in from its network"])
def test_what_a_receiver_refuses_does_not_use_up_its_pace(wire: Wire, name: str) -> None:
    with paced(wire) as (found, _):
        wire.apply(replace(ALICE, firewalls=(1,)))
        way = next(way for way in found if way.name == name)
        assert not marks(way.arrived(several("udp", REMOTE[name])))
        assert len(marks(way.arrived(several("tcp", REMOTE[name])))) in AT_ONCE


def test_what_a_receiver_refuses_does_not_use_up_its_senders_pace(wire: Wire) -> None:
    with paced(wire) as (found, _), wire.ends(private_tap(BOB)) as (bob,):
        wire.apply(replace(BOB, firewalls=(1,)))
        (ours,), (theirs,) = ALICE.private, BOB.private
        outward = next(way for way in found if way.name == "out to its network")
        to_bob = replace(outward, encode=lambda packet: encoded(packet, ours.mac, ours.ip, theirs.ip, theirs.mac))
        to_bob.arrived(several("udp", theirs.ip))
        assert not marks(bob.pending())
        assert len(marks(outward.arrived(several("tcp", REMOTE[outward.name])))) in AT_ONCE


def test_one_ports_pace_is_not_anothers(wire: Wire) -> None:
    with paced(wire) as (found, (_, world, *_)), wire.ends(public_tap(BOB)) as (bob,):
        inward = next(way for way in found if way.name == "in from the world")
        assert len(marks(inward.arrived(several("tcp", "198.18.0.1")))) in AT_ONCE
        world.send(ping4(WORLD_MAC, "198.18.0.9", str(BOB.public.ipv4), b"MARK", UPLINK_MAC))
        assert bob.received(b"MARK")


def several(kind: str, remote: str) -> Sequence[Packet]:
    """Each of a connection of its own."""
    return [Packet(number, kind, remote, 22) for number in range(1, MANY + 1)]  # type: ignore[arg-type]


async def test_a_host_forgets_idle_connections_in_time(private_network: None) -> None:
    ports = HostPorts(HostNetwork(idle=600))
    await ports.open()
    await ports.close()
    assert (TABLE / "nf_conntrack_tcp_timeout_established").read_text().strip() == "600"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of the machine's first network namespace."""
    for name, value in (("max", 262_144), ("count", 209_715), ("tcp_timeout_established", 432_000)):
        (tmp_path / f"nf_conntrack_{name}").write_text(f"{value}\n")
    monkeypatch.setattr(connections, "TABLE", tmp_path)
    return tmp_path


def test_the_table_has_room_for_all_that_one_server_begins_and_takes(table: Path) -> None:
    """Of a host with enough memory."""
    connections.prepare_table(pace=10, idle=1800)
    assert int((table / "nf_conntrack_max").read_text()) == (1 + 8) * 2 * 10 * (1800 + 60)
    connections.prepare_table(pace=1, idle=7200)
    assert int((table / "nf_conntrack_max").read_text()) == (1 + 8) * 2 * 10 * (1800 + 60)


@pytest.mark.parametrize("idle", [600, 864_000])
def test_idle_connections_leave_when_they_are_told_to(table: Path, idle: int) -> None:
    connections.prepare_table(pace=1, idle=idle)
    assert (table / "nf_conntrack_tcp_timeout_established").read_text() == str(idle)


def test_a_table_that_is_nearly_full_is_told(table: Path) -> None:
    assert connections.crowding() == []
    (table / "nf_conntrack_count").write_text("209716")
    told = connections.crowding()
    assert told == ["80 % of 262144 connections are tracked: new ones of all guests will soon be refused"]
    (table / "nf_conntrack_count").write_text("209800")
    assert connections.crowding() == told
