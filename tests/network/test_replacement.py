"""While rules are replaced, what may pass passes and what may not does not, again and again: nothing lies between.

A tap that is made again is guarded as the first one was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from infra.domain.firewalls import Rule
from infra.domain.port_names import overlay_name
from tests.host.frames import GuestEnd, arp, udp4
from tests.network.fix_wire import (
    ALICE,
    BOB,
    FAR,
    FAR_MAC,
    NETWORK_A,
    UPLINK,
    UPLINK_MAC,
    WORLD_MAC,
    Wire,
    ip,
    learn,
    private_tap,
    public_tap,
)
from tests.network.forgeries import PUBLIC

REPLACEMENTS = 30
ROUNDS = 200  # at least, of packets
OPEN, CLOSED = b"<000001>", b"<000002>"
RULES = tuple(Rule("in", "udp", str(port), ("0.0.0.0/0",)) for port in (7000, 8000))
PUBLIC4, MEMBER = str(ALICE.public.ipv4), ALICE.private[0]


@dataclass
class Stream:
    """Sends the frames by turns until it is told to stop, and counts what has come of each at the other end."""

    sender: GuestEnd
    receiver: GuestEnd
    frames: Sequence[tuple[bytes, bytes]]
    """Each with what it is known by."""
    sent: int = 0
    received: dict[bytes, int] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set() or self.sent < ROUNDS:
            for frame, _ in self.frames:
                self.sender.send(frame)
            self.sent += 1
            for frame in self.receiver.pending():
                for _, mark in self.frames:
                    self.received[mark] = self.received.get(mark, 0) + (mark in frame)


def to_public(port: int, mark: bytes) -> bytes:
    frame = udp4(WORLD_MAC, "198.18.0.1", PUBLIC4, mark, (9, port))
    return bytes.fromhex(UPLINK_MAC.replace(":", "")) + frame[6:]


def to_private(port: int, mark: bytes) -> bytes:
    frame = udp4(FAR_MAC, FAR, MEMBER.ip, mark, (9, port))
    return bytes.fromhex(MEMBER.mac.replace(":", "")) + frame[6:]


@pytest.mark.parametrize(
    ("sending", "receiving", "to"),
    [
        pytest.param(UPLINK, public_tap(ALICE), to_public, id="public"),
        pytest.param(overlay_name(NETWORK_A), private_tap(ALICE), to_private, id="private"),
    ],
)
def test_no_packet_is_lost_and_none_slips_through(
    wire: Wire, sending: str, receiving: str, to: Callable[[int, bytes], bytes]
) -> None:
    plan = replace(ALICE, firewalls=(1,), rules=RULES)
    wire.apply(plan)
    with wire.ends(sending, receiving) as (sender, receiver):
        stream = Stream(sender, receiver, [(to(7000, OPEN), OPEN), (to(7001, CLOSED), CLOSED)])
        with stream.flowing():
            for turn in range(REPLACEMENTS):
                wire.apply(replace(plan, rules=RULES[:1] if turn % 2 else RULES))
        assert stream.received == {OPEN: stream.sent, CLOSED: 0}


def test_no_forged_packet_slips_through(wire: Wire) -> None:
    forged, honest = PUBLIC["ipv4 address"].forged, udp4(ALICE.public.mac, PUBLIC4, "198.18.0.1", OPEN, (9, 9))
    with wire.ends(public_tap(ALICE), UPLINK) as (alice, world):
        stream = Stream(alice, world, [(forged.replace(b"<000001>", CLOSED), CLOSED), (honest, OPEN)])
        with stream.flowing():
            for _ in range(REPLACEMENTS):
                wire.apply(ALICE)
        assert stream.received == {OPEN: stream.sent, CLOSED: 0}


@pytest.mark.parametrize("again", [True, False])
def test_a_tap_that_was_made_again_is_guarded(wire: Wire, again: bool) -> None:
    """``again``: its rules were applied once more, as whoever makes a tap does it."""
    tap, (ours,), (theirs,) = private_tap(ALICE), ALICE.private, BOB.private
    ip(f"link del {tap}", f"tuntap add dev {tap} mode tap vnet_hdr", f"link set {tap} master pb-{NETWORK_A}")
    learn((tap, ours.mac))
    if again:
        wire.apply(ALICE)
    ip(f"link set {tap} up")
    with wire.ends(tap, private_tap(BOB)) as (alice, bob):
        alice.send(arp(ours.mac, "10.0.0.77", target=theirs.ip) + CLOSED)
        alice.send(arp(ours.mac, ours.ip, target=theirs.ip) + OPEN)
        assert not any(CLOSED in frame for frame in bob.until(OPEN))
