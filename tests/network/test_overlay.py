"""Private networks across hosts: members reach each other through tunnels, with packets of every size they may send."""

from __future__ import annotations

from tests.network.fix_guests import Guests
from tests.network.fix_two_hosts import UNDERLAY, NeighbourHost
from tests.network.pings import reaches
from tests.network.test_private_ports import BLUE, RED, blue, plan, red

Hosts = tuple[NeighbourHost, NeighbourHost]


def test_members_on_two_hosts_reach_each_other_and_no_other_network(two_hosts: Hosts, guests: Guests) -> None:
    first, second = two_hosts
    here, there, other = plan(21, red(1)), plan(22, red(2)), plan(23, blue(3, ip="10.8.0.3"))
    for host, its in ((first, here), (second, there), (second, other)):
        host.do(host.ports.attach(its))
    first.introduce(second, RED)
    second.introduce(first, RED)
    mtu = first.ports.network.private_mtu
    guest = guests.of(here, first.namespace, mtu)
    for its in (there, other):
        guests.of(its, second.namespace, mtu)

    assert reaches(guest, "10.8.0.2", packet=1400)
    assert reaches(guest, "10.8.0.2", packet=mtu)
    assert not reaches(guest, "10.8.0.3", patience=0.5)


def test_a_packet_that_is_too_large_is_refused_where_it_is_sent(two_hosts: Hosts, guests: Guests) -> None:
    """No black hole: the sender hears of it."""
    first, _ = two_hosts
    here = plan(21, red(1))
    first.do(first.ports.attach(here))
    guest = guests.of(here, first.namespace, first.ports.network.private_mtu)
    with_error = guest.run("python3", "-Sc", TOO_LARGE)
    assert "Message too long" in with_error


TOO_LARGE = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.setsockopt(0, 10, 2)
    try:
        link.sendto(b"x" * {UNDERLAY}, ("10.8.0.2", 9))
    except OSError as error:
        print(error)
"""


def test_the_overlay_goes_with_the_last_member(two_hosts: Hosts) -> None:
    first, second = two_hosts
    for host, its in ((first, plan(21, red(1))), (second, plan(22, red(2)))):
        host.do(host.ports.attach(its))
    first.do(first.ports.detach(21))
    assert str(RED) not in first.shell("ip link")
    assert str(BLUE) not in second.shell("ip link")
    assert str(RED) in second.shell("ip link")
