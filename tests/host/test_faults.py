"""The smaller fault matrix: the host worker and libvirtd killed during each step of a real create, and after it.

One create for each step and moment, each held right there (held_worker.py); then one kill hits all of them at once. It
hits the deletes in the same way. A guest that runs has to run on, as the same process, through all of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest
from temporalio.exceptions import ApplicationError

from activities.fence import UNDO
from infra.domain.errors import HOST_FAILURES
from infra.domain.models import Image, ServerOrder
from infra.temporal.names import delete_id
from tests.faults.matrix import PROGRESS
from tests.fix_region import eventually
from tests.host.fix_faults import RealDeployment, Victim
from tests.host.held_worker import Moment
from tests.host.traces import DEFINED, RUNNING, processes, traces
from workflows.options import STEPS

EFFECTS = {
    "ensure_image": "images.ensure",
    "create_disk": "disks.create",
    "write_seed": "seeds.write",
    "attach_ports": "ports.attach",
    "define_machine": "machines.define",
    "start_machine": "machines.start",
    "wait_ready": "guests.heartbeat",
    "destroy_machine": "machines.destroy",
    "detach_ports": "ports.detach",
    "remove_seed": "seeds.remove",
    "remove_disk": "disks.remove",
}
"""What each step of a host does to it: the call around which it is held."""

POWER = {"power_on", "power_off", "press_power"}
"""Steps of neither a create nor a delete: tests/faults strikes them, and they are made of the same calls."""

MOMENTS: tuple[Moment, ...] = ("before", "after")
FORWARD = [(step, moment) for step in reversed(EFFECTS) if step not in UNDO for moment in MOMENTS]
"""The last steps first: by the time that the first ones are held, so are they."""
BACKWARD = [(step, moment) for step in reversed(EFFECTS) if step in UNDO for moment in MOMENTS]
BOOTED = ("start_machine", "wait_ready")
"""The steps of a server that is started; a create that is hit earlier goes on without a boot."""


def test_every_step_of_a_host_is_covered() -> None:
    assert set(EFFECTS) | POWER == {name for name, step in STEPS.items() if step.place == "host"}


WHOLE = pytest.mark.skipif(not os.environ.get("FAULTS_ALL"), reason="a part of `make faults`")


@dataclass
class Matrix:
    """The creates of one deployment, by the cell in which each was held."""

    deployment: RealDeployment
    cells: dict[str, ServerOrder] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    async def create(self, cell: str, image: Image, start: bool) -> ServerOrder:
        order = self.cells[cell] = await self.deployment.order(image, start)
        return order

    async def create_held(self, step: str, moment: Moment, image: Image) -> None:
        order = await self.create(f"{step}, {moment}", image, start=step in BOOTED)
        await self.held(step, moment, order, self.deployment.admit(order))

    async def delete_held(self, step: str, moment: Moment, order: ServerOrder) -> None:
        await self.held(step, moment, order, self.deployment.region.begin_delete(order))

    async def held(self, step: str, moment: Moment, order: ServerOrder, begin: Awaitable[object]) -> None:
        holds, name = self.deployment.holds, f"{EFFECTS[step]}.{moment}.{order.server_id}"
        holds.ask(EFFECTS[step], moment, order.server_id)
        await begin

        async def is_held() -> bool:
            return name in holds.held()

        await eventually(is_held, 240)

    async def conclude(self) -> None:
        """Wait for the end of every create, and check that each is whole or has left nothing."""
        errors = {cell: await self.deployment.region.ended(order) for cell, order in self.cells.items()}
        await eventually(self.deployment.real.libvirtd.ready)
        for cell, order in self.cells.items():
            error = errors[cell]
            self.ended[cell] = await (self.whole(order) if error is None else self.nothing(order, error))

    async def running(self) -> dict[int, tuple[int, int]]:
        """By server: the epoch of its claim, and the process that its machine is."""
        machines, found = processes(self.deployment.real), {}
        for order in self.cells.values():
            claim = await self.deployment.region.one("SELECT epoch FROM claims WHERE server_id = %s", order.server_id)
            if claim and order.server_id in machines:
                found[order.server_id] = (claim["epoch"], machines[order.server_id])
        return found

    async def whole(self, order: ServerOrder) -> str:
        deployment = self.deployment
        server = await deployment.region.server(order)
        assert server is not None
        left = await traces(deployment.host, deployment.real)
        assert left.of(order.server_id) == (RUNNING if order.start else DEFINED)
        if order.start:
            assert await deployment.boot_id(order)
        return str(server["status"])

    async def nothing(self, order: ServerOrder, error: BaseException) -> str:
        assert isinstance(error, ApplicationError)
        assert error.type in {*HOST_FAILURES, "resource_unavailable"}, error
        await self.deployment.region.assert_nothing_left(order)
        await eventually(self.forgotten)
        left = await traces(self.deployment.host, self.deployment.real)
        assert left.of(order.server_id) == {}
        return str(error.type)

    async def forgotten(self) -> bool:
        """Whether the host has forgotten all that it was told to while it did not answer."""
        hosts = list(self.deployment.region.hosts)
        return await self.deployment.region.one("SELECT FROM tombstones WHERE host_id = ANY(%s)", hosts) is None

    async def assert_none_was_restarted(self, ran: dict[int, tuple[int, int]]) -> None:
        """But those whose host was left in the middle of their create and taken again: they have a new claim."""
        run_on = await self.running()
        for server_id, (epoch, process) in ran.items():
            if server_id in run_on and run_on[server_id][0] == epoch:
                assert run_on[server_id] == (epoch, process)

    async def assert_nothing_left(self) -> None:
        deployment = self.deployment
        await eventually(deployment.real.libvirtd.ready)

        await eventually(self.forgotten)
        left = await traces(deployment.host, deployment.real)
        assert (left.servers, left.unfinished) == (set(), [])
        await deployment.region.assert_balanced()

    def report(self, victim: Victim, when: str) -> None:
        """Printed, and written beside the report of the whole matrix."""
        lines = [f"{victim} killed {when}:", *(f"  {cell:24}  {end}" for cell, end in self.ended.items())]
        PROGRESS.parent.mkdir(exist_ok=True)
        (PROGRESS.parent / f"faults-{victim}-{when.replace(' ', '-')}.txt").write_text("\n".join(lines) + "\n")
        print("\n".join(lines))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["worker", "libvirtd"])
async def test_killed_at_every_step(
    real_deployment: RealDeployment, tiny: Image, uncached: Image, victim: Victim
) -> None:
    deployment, region = real_deployment, real_deployment.region
    matrix = Matrix(deployment)
    survivor = await matrix.create("after", tiny, start=True)
    await deployment.admit(survivor)
    for step, moment in FORWARD:
        await matrix.create_held(step, moment, uncached if step == "ensure_image" else tiny)
    assert await region.ended(survivor) is None
    booted, ran = await deployment.boot_id(survivor), await matrix.running()

    deployment.strike(victim)
    deployment.holds.release()
    await matrix.conclude()

    matrix.report(victim, "at every step")
    await matrix.assert_none_was_restarted(ran)
    assert await deployment.boot_id(survivor) == booted
    assert await deployment.told_name(survivor) == survivor.name
    assert (await traces(deployment.host, deployment.real)).unfinished == []

    alive = [order for cell, order in matrix.cells.items() if matrix.ended[cell] in ("running", "off")]
    assert len(alive) > len(BACKWARD)
    for order in alive[len(BACKWARD) :]:
        await region.begin_delete(order)
    for (step, moment), order in zip(BACKWARD, alive, strict=False):
        await matrix.delete_held(step, moment, order)
    deployment.strike(victim)
    deployment.holds.release()
    for order in alive:
        await region.client.get_workflow_handle(delete_id(order.server_id)).result()
        await region.assert_nothing_left(order)
    await matrix.assert_nothing_left()


@WHOLE
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["worker", "libvirtd"])
async def test_killed_while_machines_start(real_deployment: RealDeployment, tiny: Image, victim: Victim) -> None:
    """Of three the second one's process has just begun: one starts up, one is about to, one is perhaps not there."""
    deployment, region = real_deployment, real_deployment.region
    matrix = Matrix(deployment)
    for number in range(3):
        order = await matrix.create(f"start_machine, {number}", tiny, start=True)
        await matrix.held("start_machine", "before", order, deployment.admit(order))

    deployment.holds.release()
    while len(processes(deployment.real)) < 2:  # noqa: ASYNC110  as soon as it is there
        await asyncio.sleep(0)
    deployment.strike(victim)
    await matrix.conclude()

    matrix.report(victim, "while machines start")
    for order in matrix.cells.values():
        if await region.server(order):
            await region.delete(order)
    await matrix.assert_nothing_left()
