"""A simulated host for whoever asks, and machines to put on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.domain.models import Addresses, Image, Machine, Resources
from infra.drivers.protocols import Host
from infra.drivers.simulated import Latencies, SimulatedHost

ROOM = Resources(cores=8, memory_mib=16_384, disk_gib=100)
IMAGE = Image(1, "debian-12", "ab" * 32, "x86", 2, has_agent=True)


def machine_of(server_id: int, image: Image = IMAGE, memory_mib: int = 1_024) -> Machine:
    addresses = Addresses(f"192.0.2.{server_id}", f"2001:db8:0:{server_id:x}::/64")
    return Machine(server_id, 1, 1, f"server-{server_id}", Resources(1, memory_mib, 10), image, addresses)


@pytest.fixture
def image() -> Image:
    return IMAGE


@pytest.fixture
def machine() -> Machine:
    return machine_of(1)


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedHost]:
    with SimulatedHost(tmp_path / "host.db", ROOM, Latencies.none()) as simulated:
        yield simulated


@pytest.fixture
def host(simulated: SimulatedHost) -> Host:
    return simulated.host()
