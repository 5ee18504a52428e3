"""Machines of the lab that are lost are lost as a power failure loses them, and are whole when they are switched on."""

from __future__ import annotations

import pytest

from infra.lab.errors import LabError
from infra.lab.places import OUTSIDE, ROUTERS
from tests.region.hosts import Fabric, server, waited
from tests.region.talk import asked, door

SOON = 60.0  # seconds

pytestmark = pytest.mark.timeout(300)


def test_a_killed_host_that_is_switched_on_is_reached(fabric: Fabric) -> None:
    """By `puchify lab up` as well, which heals nothing else."""
    fabric.region.kill("h2")
    fabric.region.switch_on("h2")
    plan = server(71)
    fabric.attach("h2", plan)
    fabric.leads_to(plan.public.addresses[0], "h2", SOON)
    assert {one.plugged for one in fabric.region.statuses()} == {True}
    fabric.detach("h2", 71)


def test_a_router_without_power_forwards_nothing(fabric: Fabric) -> None:
    plan, world = server(72), f"/run/netns/{fabric.namespace(OUTSIDE)}"
    (address, *_) = plan.public.addresses
    fabric.attach("h3", plan)
    fabric.leads_to(address, "h3", SOON)
    guest = fabric.guests.of(plan, fabric.namespace("h3"))
    with door(guest.namespace, b"here"):
        for router in (one.name for one in ROUTERS):
            fabric.region.kill(router)
            assert fabric.next_hop(router, address) == []  # its kernel has forgotten
            took = waited(lambda: all(asked(world, address, patience=0.5) == b"here" for _ in range(5)), SOON)
            print(f"\nthe world came by the other router {took:.2f} s after {router} was dead")
            fabric.region.heal(router)
            fabric.leads_to(address, "h3", SOON)
    fabric.detach("h3", 72)


@pytest.mark.parametrize("name", ["r1", OUTSIDE])
def test_what_only_routes_is_not_cut_off(fabric: Fabric, name: str) -> None:
    with pytest.raises(LabError, match=f"puchify lab kill {name}"):
        fabric.region.cut(name)
