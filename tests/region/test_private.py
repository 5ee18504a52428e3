"""Private networks across hosts: members reach their own and nobody else, at full size, and also after a move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.lab.places import PRIVATE_MTU
from infra.lab.region import Region
from tests.network.fix_guests import Guest, Guests
from tests.region.hosts import Fabric, member, server, waited
from tests.region.talk import asked, door, echo, echoed

SOON = 60.0  # seconds: a network that is new on a host is told to the others
HEADERS = 28  # bytes of IPv4 and UDP
RED, BLUE = 5001, 5002  # networks with the same range

pytestmark = pytest.mark.timeout(300)

PLANS = {
    "h1": [server(51, member(151, RED, "10.0.0.11")), server(52, member(152, BLUE, "10.0.0.11"))],
    "h3": [server(53, member(153, RED, "10.0.0.13")), server(54, member(154, BLUE, "10.0.0.13"))],
    "h5": [server(55, member(155, BLUE, "10.0.0.15"))],
}


@pytest.fixture(scope="module")
def members(built_fabric: Region) -> Iterator[dict[int, Guest]]:
    """By number of the server; they only talk."""
    fabric, found = Fabric(built_fabric, Guests()), {}
    for host, plans in PLANS.items():
        for plan in plans:
            fabric.attach(host, plan)
            found[plan.server_id] = fabric.guests.of(plan, fabric.namespace(host), PRIVATE_MTU)
    yield found
    fabric.guests.stop()
    for host, plans in PLANS.items():
        fabric.clear(host, *(plan.server_id for plan in plans))
    fabric.close()


def test_two_networks_of_one_range_do_not_meet(members: dict[int, Guest]) -> None:
    with door(members[53].namespace, b"red"), door(members[54].namespace, b"blue"):
        for number, colour in ((51, b"red"), (52, b"blue")):
            waited(lambda number=number: asked(members[number].namespace, "10.0.0.13") is not None, SOON)
            assert asked(members[number].namespace, "10.0.0.13") == colour
    with door(members[55].namespace, b"blue"):
        assert asked(members[52].namespace, "10.0.0.15") == b"blue"
        assert asked(members[51].namespace, "10.0.0.15", patience=1) is None  # nobody in red has that address


@pytest.mark.parametrize("size", [1400, 9000])
def test_payloads_of_every_size_pass(members: dict[int, Guest], size: int) -> None:
    with echo(members[53].namespace, "10.0.0.13"):
        waited(lambda: echoed(members[51].namespace, "10.0.0.11", "10.0.0.13", b"x"), SOON)
        assert echoed(members[51].namespace, "10.0.0.11", "10.0.0.13", bytes(size))


def test_a_full_packet_passes_whole(members: dict[int, Guest]) -> None:
    with echo(members[53].namespace, "10.0.0.13"):
        waited(lambda: echoed(members[51].namespace, "10.0.0.11", "10.0.0.13", b"x"), SOON)
        full = bytes(PRIVATE_MTU - HEADERS)
        assert echoed(members[51].namespace, "10.0.0.11", "10.0.0.13", full, whole=True)


@pytest.mark.parametrize("overlap", [True, False])
def test_a_moved_member_is_reached_where_it_is(fabric: Fabric, overlap: bool) -> None:
    """Into a network that is new on its host: what FRR had of the old host takes the new one's entries with it, unless
    somebody looks again."""
    watching, moving = server(61, member(161, 5003, "10.0.0.21")), server(62, member(162, 5003, "10.0.0.22"))
    fabric.attach("h1", watching)
    watcher = fabric.guests.of(watching, fabric.namespace("h1"), PRIVATE_MTU)
    fabric.attach("h3", moving)
    for old, new in (("h3", "h4"), ("h4", "h3"), ("h3", "h4")):
        guest = fabric.guests.of(moving, fabric.namespace(old), PRIVATE_MTU)
        with door(guest.namespace, old.encode()):
            waited(lambda: asked(watcher.namespace, "10.0.0.22", patience=0.5) is not None, SOON)
            assert asked(watcher.namespace, "10.0.0.22") == old.encode()
        guest.stop()
        if overlap:
            fabric.attach(new, moving)
            fabric.detach(old, 62)
        else:
            fabric.detach(old, 62)
            fabric.attach(new, moving)
        guest = fabric.guests.of(moving, fabric.namespace(new), PRIVATE_MTU)
        with door(guest.namespace, new.encode()):
            took = waited(lambda: asked(watcher.namespace, "10.0.0.22", patience=0.5) is not None, SOON)
        print(f"\n{old} to {new}{', both at once for a moment' if overlap else ''}: reached after {took:.2f} s")
        guest.stop()
    fabric.detach("h4", 62)
    fabric.detach("h1", 61)
