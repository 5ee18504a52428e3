"""What a real host says of itself: what is there, what is free of it, and what is the matter when a part is away."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from unittest.mock import patch

import psutil
import pytest

from infra.drivers.facts import RESERVE_MIB, HostFacts
from infra.drivers.layout import HostLayout
from infra.drivers.xfs import GIB
from tests.host.fix_host import RealHost

NOBODY = "qemu+unix:///system?socket=/nonexistent"


@pytest.fixture
async def facts(layout: HostLayout) -> AsyncIterator[HostFacts]:
    facts = HostFacts(layout, NOBODY, uplinks=("lo", "gone0"))
    yield facts
    await facts.close()


async def test_a_host_tells_what_it_offers_and_what_is_free_of_it(facts: HostFacts, layout: HostLayout) -> None:
    layout.image("a" * 64).mkdir()
    with layout.disk(7).open("wb") as disk:
        disk.truncate(5 * GIB)

    report = await facts.report(1)

    assert report.disk_gib == 29  # of 32, a sixteenth of which is never offered
    assert report.free_disk_gib is not None
    assert 25 <= report.free_disk_gib <= 29
    assert report.facts["disk_promised_gib"] == 5
    assert report.images == ["a" * 64]
    assert report.memory_mib == psutil.virtual_memory().total // 2**20 - RESERVE_MIB
    assert report.free_memory_mib is not None
    assert 0 < report.free_memory_mib <= report.memory_mib


async def test_an_uplink_is_measured_against_its_speed(facts: HostFacts) -> None:
    with patch("infra.drivers.loads.speeds", return_value={"lo": 1, "gone0": None}):
        with socket.socket(type=socket.SOCK_DGRAM) as talking_to_itself:
            talking_to_itself.bind(("127.0.0.1", 0))
            for _ in range(50):
                talking_to_itself.sendto(bytes(1400), talking_to_itself.getsockname())
        busy = await facts.report(1)

    assert 0.1 < busy.net_saturation <= 1
    assert busy.links["lo"].sent is not None
    assert busy.links["gone0"].sent is None


async def test_a_host_whose_libvirt_is_away_says_so_beside_the_rest(facts: HostFacts) -> None:
    report = await facts.report(1)

    assert report.problems == ["libvirt does not answer"]
    assert report.cores == psutil.cpu_count()
    assert report.facts["versions"].keys() == {"puchify", "python", "kernel"}


async def test_the_versions_are_those_of_what_runs(real_host: RealHost, layout: HostLayout) -> None:
    facts = HostFacts(layout, real_host.options.uri)
    report = await facts.report(1)
    await facts.close()

    assert report.problems == []
    assert all(report.facts["versions"][name].count(".") == 2 for name in ("libvirt", "qemu"))
