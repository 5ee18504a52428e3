"""The firewall's truth table: rules and packets by chance, on real ports, against a model that was written apart.

Every packet begins a conversation of its own. A batch ends with a frame that always passes and takes the same way, so
that what is not there by then will not come.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytest

from infra.domain.firewalls import Direction
from infra.domain.port_names import overlay_name
from infra.domain.port_plan import PortPlan
from tests.host.frames import GATEWAY_MAC, GuestEnd, arp, ping4
from tests.network import model
from tests.network.chance import Chance
from tests.network.fix_wire import (
    ALICE,
    FAR,
    FAR_MAC,
    FORBIDDEN,
    NETWORK_A,
    UPLINK,
    UPLINK_MAC,
    VTEPS,
    WORLD_MAC,
    Wire,
    address6,
    forget_connections,
    private_tap,
    public_tap,
)
from tests.network.packets import Packet, encoded, marks

SETS, PACKETS = 12, 60
"""Of rules for each seed, and of packets for each set and way."""
SEEDS = range(1, 6)
AT_ONCE = 50
"""Frames that a tap keeps for its reader, with much room to spare."""

MAC, MEMBER = ALICE.public.mac, ALICE.private[0]


@dataclass(frozen=True)
class Way:
    """From one end to the other. ``last``: sent after a batch, and seen at ``told`` once all of it has passed."""

    name: str
    direction: Direction
    sender: GuestEnd
    receiver: GuestEnd
    encode: Callable[[Packet], bytes]
    expect: Callable[[PortPlan, Packet], bool]
    last: bytes
    told: GuestEnd
    versions: tuple[int, ...] = (4, 6)

    def passed(self, packets: Sequence[Packet]) -> set[int]:
        forget_connections()
        return marks(self.arrived(packets))

    def arrived(self, packets: Sequence[Packet]) -> list[bytes]:
        """Frames, among others that the receiver had at the time."""
        found = list[bytes]()
        for at in range(0, len(packets), AT_ONCE):
            for packet in packets[at : at + AT_ONCE]:
                self.sender.send(self.encode(packet))
            self.sender.send(self.last)
            told = self.told.until(b"LAST")
            found += self.receiver.pending() + (told if self.told is self.receiver else [])
        return found


def ways(ends: Sequence[GuestEnd]) -> list[Way]:
    alice, world, member, far = ends
    assert ALICE.public.ipv4

    def own(packet: Packet) -> str:
        return str(ALICE.public.ipv4) if packet.version == 4 else address6(ALICE)

    come = partial(_encode, mac=WORLD_MAC, to=UPLINK_MAC)
    return [
        Way(
            "in from the world",
            "in",
            world,
            alice,
            lambda packet: come(packet, packet.remote, own(packet)),
            model.comes_in_from_the_world,
            ping4(WORLD_MAC, "198.18.0.1", ALICE.public.ipv4, b"LAST", UPLINK_MAC),
            told=alice,
        ),
        Way(
            "out to the world",
            "out",
            alice,
            world,
            lambda packet: encoded(packet, MAC, own(packet), packet.remote, GATEWAY_MAC),
            partial(model.goes_out, forbidden=(FORBIDDEN, VTEPS)),
            ping4(MAC, ALICE.public.ipv4, "172.31.1.1", b"LAST"),  # the gateway answers
            told=alice,
        ),
        Way(
            "in from its network",
            "in",
            far,
            member,
            lambda packet: encoded(packet, FAR_MAC, packet.remote, MEMBER.ip, MEMBER.mac),
            model.comes_in_from_its_network,
            ping4(FAR_MAC, FAR, MEMBER.ip, b"LAST", MEMBER.mac),
            told=member,
            versions=(4,),
        ),
        Way(
            "out to its network",
            "out",
            member,
            far,
            lambda packet: encoded(packet, MEMBER.mac, MEMBER.ip, packet.remote, FAR_MAC),
            model.goes_out,
            arp(MEMBER.mac, MEMBER.ip, target=FAR) + b"LAST",
            told=far,
            versions=(4,),
        ),
    ]


def _encode(packet: Packet, source: str, target: str, mac: str, to: str) -> bytes:
    return encoded(packet, mac, source, target, to)


def plan_by(chance: Chance) -> PortPlan:
    effective = chance.random.random() < 0.8
    return replace(
        ALICE,
        firewalls=(1, 2) if effective else (),
        rules=chance.rules() if effective else (),
        accepts=chance.random.random() < 0.3,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_what_passes_is_what_the_rules_say(wire: Wire, seed: int) -> None:
    chance = Chance(random.Random(seed))
    allowed = refused = 0
    taps = (public_tap(ALICE), UPLINK, private_tap(ALICE), overlay_name(NETWORK_A))
    with wire.ends(*taps) as ends:
        for _ in range(SETS):
            plan = plan_by(chance)
            wire.apply(plan)
            for way in ways(ends):
                packets = [chance.packet(way.direction, plan.rules, way.versions) for _ in range(PACKETS)]
                expected = {packet.number for packet in packets if way.expect(plan, packet)}
                passed = way.passed(packets)
                wrong = [str(packet) for packet in packets if packet.number in passed ^ expected]
                assert not wrong, f"{way.name}: {wrong} (passed: {sorted(passed)}) of {plan}"
                allowed, refused = allowed + len(passed), refused + len(packets) - len(passed)
    assert min(allowed, refused) > SETS * PACKETS * 4 / 10  # both verdicts are at work
