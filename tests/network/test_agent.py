"""The agent's way with private NICs, under both shells that guests have, with each program that it can ask with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.domain.port_plan import GuestRoute, PrivatePort
from infra.guests.agent import HERE
from tests.fix_region import eventually
from tests.network.fix_metadata import Asker, Service
from tests.port_plans import member_port

PROGRAM = HERE / "puchify-network"
SEES_ITSELF = 'mount -t sysfs none /sys && exec "$0" "$@"'
"""Otherwise it would find the host's interfaces in /sys."""
FAR = GuestRoute("10.99.0.0/16", "10.8.0.9")
SHOP = member_port(71, aliases=("10.8.9.9",), routes=(FAR,))
SIDE = member_port(72, vni=5002, ip_range="192.168.0.0/24")


@dataclass
class Patient:
    """A guest with an agent, and the books that say what it is to have."""

    guest: Asker
    service: Service
    shell: str
    directory: Path
    client: str = "bash"

    def becomes(self, *ports: PrivatePort) -> None:
        self.service.books.add(replace(self.guest.plan, private=ports))
        self.service.metadata.changed(self.guest.plan.server_id)

    def plug(self, device: str, port: PrivatePort) -> None:
        self.guest.end.run(
            "ip", "link", "add", device, "address", port.mac, "type", "veth", "peer", "name", f"to-{device}"
        )
        self.guest.end.run("ip", "link", "set", f"to-{device}", "up")

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """At work with nothing in its PATH but what such a guest has, asking every second."""
        agent = self._begin()
        try:
            yield
        finally:
            agent.kill()
            agent.communicate()

    def _begin(self) -> subprocess.Popen[bytes]:
        programs, record = self.directory / "bin", self.directory / "run" / "done"
        if not programs.exists():
            programs.mkdir()
            self._install(programs)
        interpreter = ("busybox", "sh") if self.shell == "busybox" else ("dash",)
        env = ("env", "-i", f"PATH={programs}", f"RECORD={record}")
        return self.guest.end.start("unshare", "-m", "sh", "-c", SEES_ITSELF, *env, *interpreter, str(PROGRAM), "1")

    def _install(self, programs: Path) -> None:
        if self.shell == "busybox":
            subprocess.run(("busybox", "--install", "-s", programs), check=True)
            return
        for name in ("dash", "ip", "sleep", "cat", "mkdir", "mv", "timeout", self.client):
            (programs / name).symlink_to(shutil.which(name) or name)

    def shows(self, *what: str) -> str:
        return self.guest.end.run("ip", "-o", "-4", *what)

    async def has(self, *texts: str, of: str = "addr") -> None:
        """Once all of them are there."""

        async def there() -> bool:
            shown = self.shows(of, "show")
            return all(text in shown for text in texts)

        await eventually(there)

    async def lacks(self, *texts: str, of: str = "addr") -> None:
        """Once none of them is there."""

        async def gone() -> bool:
            shown = self.shows(of, "show")
            return not any(text in shown for text in texts)

        await eventually(gone)


@pytest.fixture(params=["busybox", "dash"])
async def patient(request: pytest.FixtureRequest, service: Service, tmp_path: Path) -> Patient:
    patient = Patient(await service.guest(20), service, request.param, tmp_path)
    patient.becomes()
    return patient


async def test_what_is_plugged_in_is_configured_and_what_changes_follows(patient: Patient) -> None:
    async with patient.agent():
        patient.becomes(SHOP, SIDE)
        patient.plug("eth1", SHOP)
        await patient.has("inet 10.8.0.71/16", "inet 10.8.9.9/32")
        await patient.has("10.99.0.0/16 via 10.8.0.9 dev eth1", of="route")
        assert "mtu 1450" in patient.guest.end.run("ip", "link", "show", "eth1")

        patient.plug("eth2", SIDE)
        await patient.has("inet 192.168.0.72/24")
        patient.becomes(replace(SHOP, aliases=("10.8.9.10",), routes=()), SIDE)
        await patient.has("inet 10.8.9.10/32")
        await patient.lacks("10.8.9.9/32")
        await patient.lacks("10.99.0.0/16", of="route")
        patient.guest.end.run("ip", "link", "del", "eth1")
        patient.becomes(SIDE)
        patient.plug("eth1", SHOP)
        await patient.lacks("10.8.0.71")


async def test_what_the_owner_put_there_stays(patient: Patient) -> None:
    patient.plug("eth1", SHOP)
    patient.plug("eth3", SIDE)
    for line in (
        "link set eth1 mtu 1300",
        "link set eth1 up",
        "link set eth3 up",
        "addr add 10.8.0.200/16 dev eth1",
        "addr add 10.8.7.7/32 dev eth1",
        "route add 10.98.0.0/16 via 10.8.0.9 dev eth1",
        "addr add 192.168.7.1/24 dev eth3",
    ):
        patient.guest.end.run("ip", *line.split())
    async with patient.agent():
        patient.becomes(SHOP)
        await patient.has("inet 10.8.0.71/16")
        patient.becomes()
        await patient.lacks("10.8.0.71", "10.8.9.9")
    shown = patient.shows("addr", "show") + patient.shows("route", "show")
    for text in ("10.8.0.200/16", "10.8.7.7/32", "10.98.0.0/16 via 10.8.0.9", "192.168.7.1/24"):
        assert text in shown
    assert "mtu 1300" in patient.guest.end.run("ip", "link", "show", "eth1")


async def test_what_the_seed_put_there_is_followed_after_the_boot_too(patient: Patient) -> None:
    patient.plug("eth1", SHOP)
    for line in ("link set eth1 up", "addr add 10.8.0.71/16 dev eth1", "addr add 10.8.9.9/32 dev eth1"):
        patient.guest.end.run("ip", *line.split())
    patient.becomes(SHOP)
    async with patient.agent():
        await patient.has("10.99.0.0/16 via", of="route")
    async with patient.agent():  # and it remembers what it did
        patient.becomes(replace(SHOP, aliases=(), routes=()))
        await patient.lacks("10.8.9.9/32")
        await patient.lacks("10.99.0.0/16", of="route")
    assert "10.8.0.71/16" in patient.shows("addr", "show")


async def test_a_bridge_that_the_owner_made_of_it_is_not_touched(patient: Patient) -> None:
    patient.plug("eth1", SHOP)
    patient.plug("eth2", SIDE)
    patient.guest.end.run("ip", "link", "add", "br0", "address", SHOP.mac, "type", "bridge")
    patient.guest.end.run("ip", "link", "set", "eth1", "master", "br0", "up")
    async with patient.agent():
        patient.becomes(SHOP, SIDE)
        await patient.has("192.168.0.72/24")
    assert "10.8.0.71" not in patient.shows("addr", "show")


async def test_without_an_answer_all_stays_as_it_is(patient: Patient) -> None:
    patient.plug("eth1", SHOP)
    async with patient.agent():
        patient.becomes(SHOP)
        await patient.has("inet 10.8.0.71/16")
        del patient.service.books.guests[patient.guest.plan.server_id]  # 404 from now on
        patient.service.metadata.changed(patient.guest.plan.server_id)
        asked = patient.service.books.asked

        async def asked_again() -> bool:
            return patient.service.books.asked > asked + 1

        await eventually(asked_again)
        assert "inet 10.8.0.71/16" in patient.shows("addr", "show")
        patient.becomes(replace(SHOP, aliases=()))
        await patient.lacks("10.8.9.9/32")


@pytest.mark.parametrize("client", ["bash", "curl", "wget"])
async def test_any_client_will_do(service: Service, tmp_path: Path, client: str) -> None:
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    one = Patient(await service.guest(21, has_addresses=client == "wget"), service, "dash", tmp_path, client)
    one.plug("eth1", SHOP)
    one.becomes(SHOP)
    async with one.agent():
        await one.has("inet 10.8.0.71/16")
