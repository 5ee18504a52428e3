"""A real host for the session: taps and rules in the session's own network, disks on an XFS of its own.

Nothing of it is shared with the machine, and all of it is gone afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from infra.domain.models import Addresses, Image, Machine, Resources
from infra.drivers.ports import RoutedPorts

POOLS = ("10.77.0.0/24", "2001:db8:77::/48")
IMAGE = Image(id=1, name="tiny", digest="0" * 64, architecture="x86", disk_gib=1, has_agent=True)


def machine_of(server_id: int, image: Image = IMAGE, disk_gib: int = 1) -> Machine:
    return Machine(
        server_id=server_id,
        epoch=1,
        host_id=1,
        name=f"test{server_id}",
        resources=Resources(cores=1, memory_mib=256, disk_gib=disk_gib),
        image=image,
        addresses=Addresses(f"10.77.0.{server_id}", f"2001:db8:77:{server_id:x}::/64"),
    )


@pytest.fixture
async def ports(private_network: None) -> AsyncIterator[RoutedPorts]:
    ports = RoutedPorts(uplinks=(), pools=POOLS)
    await ports.open()
    yield ports
    for server_id in await ports.held():
        await ports.detach(server_id)
    await ports.close()
