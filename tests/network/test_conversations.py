"""What is tracked of connections: they outlive the rules that let them in, and networks share none of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from infra.domain import firewall_rules
from infra.domain.firewalls import Rule
from infra.domain.port_plan import PortPlan
from infra.drivers import nft
from tests.host.frames import GuestEnd, arp, udp4
from tests.network.fix_guests import Guest, Guests
from tests.network.fix_wire import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    NETWORK_A,
    NETWORK_B,
    Wire,
    address6,
    await_carrier,
    private_tap,
    public_tap,
)

REPLACEMENTS = 100
OLD, NEW = 7000, 7001


def letting_in(plan: PortPlan, port: int) -> PortPlan:
    rule = Rule("in", "tcp", str(port), ("0.0.0.0/0", "::/0"))
    return replace(plan, firewalls=(1,), rules=(rule,))


@contextmanager
def echoing(guest: Guest, address: str, port: int) -> Iterator[None]:
    """A server in the guest that sends back what it is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listen() -> socket.socket:
        return socket.create_server((address, port), family=family)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    server = guest.do(listen)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def connected(guest: Guest, address: str, port: int, patience: float = 10.0) -> socket.socket:
    return guest.do(lambda: socket.create_connection((address, port), patience))


def answered(connection: socket.socket, data: bytes) -> bool:
    connection.sendall(data)
    return connection.recv(4096) == data


def public4(plan: PortPlan) -> str:
    return str(plan.public.ipv4)


def private4(plan: PortPlan) -> str:
    return plan.private[0].ip


@pytest.mark.parametrize("address", [public4, address6, private4])
def test_connections_outlive_a_hundred_changes_and_new_ones_follow(
    wire: Wire, guests: Guests, address: Callable[[PortPlan], str]
) -> None:
    wire.apply(letting_in(BOB, OLD))
    alice, bob = guests.of(ALICE), guests.of(BOB)
    await_carrier(*(tap(plan) for plan in (ALICE, BOB) for tap in (public_tap, private_tap)))
    target = address(BOB)
    with echoing(bob, target, OLD), echoing(bob, target, NEW), connected(alice, target, OLD) as connection:
        for turn in range(1, REPLACEMENTS + 1):
            opened, closed = (NEW, OLD) if turn % 2 else (OLD, NEW)
            wire.apply(letting_in(BOB, opened))
            assert answered(connection, b"turn %d" % turn)
            if turn in (1, 2, REPLACEMENTS - 1, REPLACEMENTS):
                with connected(alice, target, opened) as fresh:
                    assert answered(fresh, b"new")
                with pytest.raises(TimeoutError):
                    connected(alice, target, closed, 0.3)


def test_a_change_of_its_filters_alone_does_the_same(wire: Wire, guests: Guests) -> None:
    """What a host applies when nothing of a server has changed but its firewalls."""
    wire.apply(letting_in(BOB, OLD))
    alice, bob = guests.of(ALICE), guests.of(BOB)
    await_carrier(*(tap(plan) for plan in (ALICE, BOB) for tap in (public_tap, private_tap)))
    target = public4(BOB)
    with echoing(bob, target, OLD), echoing(bob, target, NEW), connected(alice, target, OLD) as connection:
        nft.apply(firewall_rules.server_filters(letting_in(BOB, NEW)))
        assert answered(connection, b"old")
        with connected(alice, target, NEW) as fresh:
            assert answered(fresh, b"new")
        with pytest.raises(TimeoutError):
            connected(alice, target, OLD, 0.3)


ASK, ANSWER = (4000, 5000), (5000, 4000)


def passes(sender: GuestEnd, receiver: GuestEnd, plans: tuple[PortPlan, PortPlan], ports: tuple[int, int]) -> bool:
    """A datagram between private ports."""
    ours, theirs = plans[0].private[0], plans[1].private[0]
    frame = udp4(ours.mac, ours.ip, theirs.ip, b"<000001>", ports)
    sender.send(bytes.fromhex(theirs.mac.replace(":", "")) + frame[6:])
    sender.send(arp(ours.mac, ours.ip, target=theirs.ip) + b"LAST")
    return any(b"<000001>" in frame for frame in receiver.until(b"LAST"))


@pytest.mark.parametrize(("zone", "shared"), [(12, False), (11, True)])
def test_networks_of_one_range_share_no_connection(wire: Wire, zone: int, shared: bool) -> None:
    """The same five numbers in both: who has asked in A gets no answer in B. In one zone (the control) it would."""
    closed = [replace(plan, firewalls=(1,)) for plan in (ALICE, CAROL)]
    wire.apply(*closed)
    nft.apply(firewall_rules.network_rules(NETWORK_A, 11) + firewall_rules.network_rules(NETWORK_B, zone))
    with wire.ends(*map(private_tap, (ALICE, BOB, CAROL, DAVE))) as (alice, bob, carol, dave):
        assert passes(alice, bob, (ALICE, BOB), ASK)
        assert passes(dave, carol, (DAVE, CAROL), ANSWER) is shared
        assert passes(bob, alice, (BOB, ALICE), ANSWER)


def test_the_same_conversation_goes_on_in_both_networks(wire: Wire) -> None:
    wire.apply(*(replace(plan, firewalls=(1,)) for plan in (ALICE, CAROL)))
    with wire.ends(*map(private_tap, (ALICE, BOB, CAROL, DAVE))) as (alice, bob, carol, dave):
        assert not passes(bob, alice, (BOB, ALICE), ANSWER)  # unasked
        assert passes(alice, bob, (ALICE, BOB), ASK)
        assert passes(carol, dave, (CAROL, DAVE), ASK)
        assert passes(bob, alice, (BOB, ALICE), ANSWER)
        assert passes(dave, carol, (DAVE, CAROL), ANSWER)
