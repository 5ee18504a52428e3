"""Public addresses on the fabric: any host can carry any of them, and whoever has it newest wins."""

from __future__ import annotations

import pytest

from infra.lab.places import HOSTS, OUTSIDE
from tests.region.hosts import Fabric, server
from tests.region.talk import asked, door

SOON = 60.0  # seconds
WITHDRAWN = 5.0
"""Seconds that a dead host's addresses may still lead to it here: less than a second when nothing else is at work, six
and more where BFD says nothing."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def outside(fabric: Fabric) -> str:
    return f"/run/netns/{fabric.namespace(OUTSIDE)}"


def test_the_world_reaches_a_server_on_any_host(fabric: Fabric, outside: str) -> None:
    for number, host in enumerate((place.name for place in HOSTS), 11):
        plan = server(number)
        fabric.attach(host, plan)
        guest = fabric.guests.of(plan, fabric.namespace(host))
        with door(guest.namespace, host.encode()):
            for address in plan.public.addresses:
                fabric.leads_to(address, host, SOON)
                assert asked(outside, address) == host.encode(), address
        fabric.detach(host, number)
        fabric.withdrawn(plan.public.addresses[0], SOON)


def test_servers_of_two_hosts_reach_each_other(fabric: Fabric) -> None:
    plans = {"h1": server(21), "h4": server(22)}
    for host, plan in plans.items():
        fabric.attach(host, plan)
    calling, called = (fabric.guests.of(plan, fabric.namespace(host)) for host, plan in plans.items())
    with door(called.namespace, b"here"):
        for address in plans["h4"].public.addresses:
            fabric.leads_to(address, "h4", SOON)
            fabric.leads_to(plans["h1"].public.addresses[0], "h1", SOON)
            assert asked(calling.namespace, address) == b"here", address
    fabric.detach("h1", 21)
    fabric.detach("h4", 22)


@pytest.mark.parametrize(("older", "newer"), [("h2", "h5"), ("h5", "h2")])
def test_of_two_hosts_whoever_has_it_newest_wins(fabric: Fabric, outside: str, older: str, newer: str) -> None:
    """Whatever the epochs: the older one's was another server's."""
    plans = {older: server(31, epoch=4, generation=8), newer: server(31, epoch=1, generation=9)}
    fabric.attach(older, plans[older])
    for address in plans[older].public.addresses:
        fabric.leads_to(address, older, SOON)
    fabric.attach(newer, plans[newer])
    took = [fabric.leads_to(address, newer, SOON) for address in plans[newer].public.addresses]
    print(f"\nthe newer one won after {max(took) * 1000:.0f} ms")
    guest = fabric.guests.of(plans[newer], fabric.namespace(newer))
    with door(guest.namespace, newer.encode()):
        for address in plans[newer].public.addresses:
            assert asked(outside, address) == newer.encode()
    fabric.attach(older, plans[older])  # late: it is still the older one
    assert fabric.next_hop("r1", plans[newer].public.addresses[0]) == [newer]
    fabric.detach(older, 31)
    fabric.detach(newer, 31)


def test_a_silent_hosts_addresses_are_withdrawn(fabric: Fabric) -> None:
    plan = server(41)
    fabric.attach("h6", plan)
    for address in plan.public.addresses:
        fabric.leads_to(address, "h6", SOON)
    fabric.region.cut("h6")
    try:
        took = [fabric.withdrawn(address, SOON) for address in plan.public.addresses]
    finally:
        fabric.region.heal("h6")
    print(f"\na silent host's routes were gone after {sum(took):.2f} s")
    assert sum(took) <= WITHDRAWN
    back = fabric.leads_to(plan.public.addresses[0], "h6", SOON)
    print(f"they were back {back:.2f} s after it was plugged in")
    fabric.detach("h6", 41)
