"""Forged frames end at the tap they came from: nothing behind it sees them, and no other guest. Honest ones go on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from infra.domain.port_names import overlay_name
from tests.host.frames import GuestEnd, arp, udp4
from tests.network.fix_wire import ALICE, BOB, NETWORK_A, UPLINK, Wire, built, private_tap, public_tap
from tests.network.forgeries import DATA, MARK, P4, PRIVATE, PUBLIC, Q4, P, Pair, inside

PORTS = {public_tap(ALICE): PUBLIC, private_tap(ALICE): PRIVATE}
CASES = [pytest.param(tap, kind, id=f"{tap} {kind}") for tap, kinds in PORTS.items() for kind in kinds]


@dataclass(frozen=True)
class Watched:
    """A host where everything that comes through Alice's guards is counted, and everybody else listens."""

    wire: Wire
    ends: dict[str, GuestEnd]

    def through(self, tap: str, frame: bytes) -> int:
        """How many came through the guards; a frame has been dealt with once it is written."""
        before = self._seen(tap)
        self.ends[tap].send(frame)
        return self._seen(tap) - before

    def heard(self) -> list[bytes]:
        """By everybody but Alice."""
        others = [end for tap, end in self.ends.items() if tap not in PORTS]
        return [frame for end in others for frame in end.pending()]

    def _seen(self, tap: str) -> int:
        words = subprocess.check_output(("nft", "list", "chain", "netdev", "watch", tap), text=True).split()
        return int(words[words.index("packets") + 1])


@pytest.fixture(scope="module")
def watched(private_network: None) -> Iterator[Watched]:
    taps = (*PORTS, public_tap(BOB), private_tap(BOB), UPLINK, overlay_name(NETWORK_A))
    with built() as wire, wire.ends(*taps) as ends:
        hooks = {tap: f'type filter hook ingress device "{tap}" priority -200;' for tap in PORTS}
        chains = "".join(f"chain {tap} {{\n{hook}\ncounter\n}}\n" for tap, hook in hooks.items())
        subprocess.run(("nft", "-f", "-"), input=f"table netdev watch {{\n{chains}}}\n", text=True, check=True)
        yield Watched(wire, dict(zip(taps, ends, strict=True)))
        subprocess.run(("nft", "delete", "table", "netdev", "watch"), check=True)


@pytest.mark.parametrize(("tap", "kind"), CASES)
def test_a_forged_frame_ends_at_its_tap_and_an_honest_one_does_not(watched: Watched, tap: str, kind: str) -> None:
    pair: Pair = PORTS[tap][kind]
    watched.heard()
    assert watched.through(tap, pair.forged) == 0
    heard = watched.heard()
    assert not any(MARK in frame or frame.startswith(pair.forged) for frame in heard)
    assert watched.through(tap, pair.honest) == 1


def test_a_member_of_its_network_hears_an_honest_guest(watched: Watched) -> None:
    watched.heard()
    watched.through(private_tap(ALICE), DATA)
    assert any(MARK in frame for frame in watched.heard())


def with_aliases(watched: Watched) -> None:
    (port,) = ALICE.private
    watched.wire.apply(replace(ALICE, private=(replace(port, aliases=("10.0.0.9", "10.0.0.10")),)))


def carrying(*ranges: str) -> Callable[[Watched], None]:
    def carry(watched: Watched) -> None:
        (port,) = ALICE.private
        watched.wire.apply(replace(ALICE, private=(replace(port, carries=ranges),)))

    return carry


@pytest.mark.parametrize(
    ("become", "source", "passes"),
    [
        (with_aliases, P4, 1),
        (with_aliases, "10.0.0.9", 1),
        (with_aliases, "10.0.0.10", 1),
        (with_aliases, "10.0.0.11", 0),
        (carrying("192.168.7.0/24"), "192.168.7.255", 1),
        (carrying("192.168.7.0/24"), "192.168.8.0", 0),
        (carrying("10.0.128.0/24"), "10.0.128.7", 1),
        (carrying("10.0.128.0/24"), "10.0.129.7", 0),
        (carrying("0.0.0.0/0"), P4, 1),
        (carrying("0.0.0.0/0"), "198.18.0.1", 1),
        (carrying("0.0.0.0/0"), Q4, 0),
        (carrying("0.0.0.0/0"), "10.0.255.255", 0),
        (carrying("0.0.0.0/0"), "127.0.0.1", 0),
        (carrying("0.0.0.0/0"), "169.254.169.254", 0),
        (carrying("0.0.0.0/0"), "224.0.0.1", 0),
        (carrying("0.0.0.0/0", "10.0.128.0/24"), "10.0.128.7", 1),
        (carrying("10.0.0.0/8"), Q4, 0),
        (carrying("10.0.0.0/8"), "10.1.0.1", 1),
    ],
)
def test_who_has_more_addresses_sends_from_those_and_no_others(
    watched: Watched, become: Callable[[Watched], None], source: str, passes: int
) -> None:
    become(watched)
    try:
        assert watched.through(private_tap(ALICE), inside(udp4(P, source, Q4, MARK))) == passes
    finally:
        watched.wire.apply(ALICE)


@pytest.mark.parametrize(("sender", "passes"), [("10.0.0.9", 1), ("192.168.7.1", 0)])
def test_aliases_are_claimed_and_carried_addresses_are_not(watched: Watched, sender: str, passes: int) -> None:
    (port,) = ALICE.private
    more = replace(port, aliases=("10.0.0.9",), carries=("192.168.7.0/24",))
    watched.wire.apply(replace(ALICE, private=(more,)))
    try:
        assert watched.through(private_tap(ALICE), arp(P, sender, target=Q4)) == passes
    finally:
        watched.wire.apply(ALICE)
