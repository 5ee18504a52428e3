"""What the tests of the region stand on, each set up once a session: the fabric alone, and the whole region."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.lab.errors import LabError
from infra.lab.lab import Lab, require
from infra.lab.places import HOSTS
from infra.lab.region import Region, each
from tests.fix_netns import outside
from tests.lab.test_lab import remains
from tests.network.fix_guests import Guests
from tests.region.hosts import Fabric, waited
from tests.region.live import LiveRegion
from workers.lab.up import PACKAGES, up

NEIGHBOURS = 30.0
"""Seconds that the routers have to find all hosts, on a busy machine."""


def lab_of(path: pytest.TempPathFactory, name: str) -> Lab:
    try:
        require("glusterfs", PACKAGES)
    except LabError as error:
        if os.geteuid() == 0:
            raise  # `make test` installs what is missing
        pytest.skip(str(error))
    return Lab(path.mktemp(name) / "lab", print)


@pytest.fixture(scope="session")
def built_fabric(private_network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    region = Region(lab_of(tmp_path_factory, "fabric"))
    with ended(region.lab):
        region.lab.network.ensure_switch()
        region.ensure_core()
        each(lambda place: region.switch_on(place.name), HOSTS)
        waited(lambda: all(whole(region, router) for router in ("r1", "r2")), NEIGHBOURS)
        yield region


@pytest.fixture
def fabric(built_fabric: Region, guests: Guests) -> Iterator[Fabric]:
    fabric = Fabric(built_fabric, guests)
    yield fabric
    fabric.close()


@pytest.fixture(scope="session")
def built_region(private_network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRegion]:
    lab = lab_of(tmp_path_factory, "region")
    with ended(lab):
        region = outside(lambda: up(lab, "glusterfs", print))  # what is not built yet is fetched
        with LiveRegion.joined(region) as live:
            yield live


@contextmanager
def ended(lab: Lab) -> Iterator[None]:
    """Taken down when all are done with it, to nothing."""
    try:
        yield
    finally:
        lab.down()
    assert remains(lab) == []


@pytest.fixture
def region(built_region: LiveRegion) -> Iterator[LiveRegion]:
    """With every machine switched on and plugged in again for the next test, and no server left."""
    yield built_region
    built_region.healed()
    built_region.emptied()


def whole(region: Region, router: str) -> bool:
    """Whether the router knows the way to every host."""
    told = region.nodes[router].run("ip", "route")
    return all(f"{host.router_id} " in told for host in HOSTS)
