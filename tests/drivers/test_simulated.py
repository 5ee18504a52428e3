"""The simulated host keeps the contract of a host, fails exactly as ordered, and outlives its worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from infra.domain.errors import BY_NAME, GuestNotReady, HostFull, HostUnavailable, ImageUnusable
from infra.domain.models import Addresses, Image, Machine, Resources
from infra.domain.seed import seed_of
from infra.drivers.protocols import Host, PartsMissing
from infra.drivers.simulated import CALLS, CallerBug, Fault, Inventory, Latencies, SimulatedHost, faults
from tests.drivers.host_contract import HostContract, answer, boot, forget, holdings, ignored, prepare

ROOT = Path(__file__).parents[2]
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


class TestContract(HostContract):
    patience = 5.0


class TestContractWithLatencies(HostContract):
    patience = 5.0

    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[Host]:
        with SimulatedHost(tmp_path / "slow.db", ROOM) as simulated:
            yield simulated.host()


# What it refuses, as a host or as the caller's bug


async def test_a_disk_needs_its_image_and_the_size_of_it(host: Host) -> None:
    with pytest.raises(CallerBug, match="server 1 wants a disk of image debian-12"):
        await host.disks.create(1, IMAGE, 10)
    await host.images.ensure(IMAGE, ignored)
    with pytest.raises(ImageUnusable):
        await host.disks.create(1, IMAGE, 1)


async def test_room_is_given_out_once(host: Host) -> None:
    await host.images.ensure(IMAGE, ignored)
    await asyncio.gather(*(host.disks.create(server_id, IMAGE, 50) for server_id in (1, 2)))
    with pytest.raises(HostFull):
        await host.disks.create(3, IMAGE, 2)
    await host.disks.create(1, IMAGE, 50)
    await host.disks.remove(1)
    await host.disks.create(3, IMAGE, 2)


async def test_memory_is_given_out_once(host: Host) -> None:
    first, second = machine_of(1, memory_mib=16_384), machine_of(2, memory_mib=1)
    await prepare(host, first)
    await prepare(host, second)
    await host.machines.define(first)
    with pytest.raises(HostFull):
        await host.machines.define(second)
    await host.machines.define(first)


async def test_two_servers_never_have_one_address(host: Host, machine: Machine) -> None:
    await host.ports.attach(machine)
    with pytest.raises(CallerBug, match=r"servers 1 and 2 have the same address 192\.0\.2\.1"):
        await host.ports.attach(replace(machine_of(2), addresses=Addresses("192.0.2.1", None)))
    assert await host.ports.held() == {1}
    await host.ports.detach(1)
    await host.ports.attach(replace(machine_of(2), addresses=Addresses("192.0.2.1", None)))


async def test_what_was_never_defined_is_not_started(host: Host) -> None:
    with pytest.raises(PartsMissing, match="server 1 is started, but was never defined"):
        await host.machines.start(1)


# Its guests


async def test_a_guest_needs_its_time_and_its_port(tmp_path: Path, machine: Machine) -> None:
    with SimulatedHost(tmp_path / "host.db", latencies=replace(Latencies.none(), boot=0.5)) as simulated:
        host = simulated.host()
        await boot(host, machine)
        began = time.monotonic()
        with pytest.raises(GuestNotReady):
            await host.guests.host_key("192.0.2.1")
        assert (await host.guests.heartbeat(machine, 5)).uptime >= 0.5
        assert time.monotonic() - began >= 0.4
        await host.guests.host_key("192.0.2.1")
        await host.ports.detach(1)
        with pytest.raises(GuestNotReady):
            await host.guests.host_key("192.0.2.1")


async def test_a_guest_that_is_still_booting_does_not_obey_the_button(tmp_path: Path, machine: Machine) -> None:
    with SimulatedHost(tmp_path / "host.db", latencies=replace(Latencies.none(), boot=0.5)) as simulated:
        host = simulated.host()
        await boot(host, machine)
        assert not await host.machines.shut_down(1, 0.05)
        assert (await host.machines.held())[1]
        assert await host.machines.shut_down(1, 5)


async def test_a_guest_without_an_agent_sends_no_heartbeat(host: Host) -> None:
    machine = machine_of(1, replace(IMAGE, has_agent=False))
    await boot(host, machine)
    await host.guests.host_key("192.0.2.1")
    with pytest.raises(GuestNotReady):
        await host.guests.heartbeat(machine, 0.05)


async def test_a_guest_names_the_instance_of_the_seed_it_booted_with(host: Host, machine: Machine) -> None:
    await prepare(host, machine)
    await host.seeds.write(1, seed_of(machine_of(2), [], "", "", []))
    await host.machines.define(machine)
    await host.machines.start(1)
    assert (await host.guests.heartbeat(machine, 1)).instance == "i-2"


async def test_host_keys_differ_by_server_and_by_the_hosts_seed(tmp_path: Path) -> None:
    keys = set()
    for seed in (0, 1):
        with SimulatedHost(tmp_path / f"{seed}.db", ROOM, Latencies.none(), seed) as simulated:
            for server_id in (1, 2):
                await boot(simulated.host(), machine_of(server_id))
                keys.add(await simulated.host().guests.host_key(f"192.0.2.{server_id}"))
    assert len(keys) == 4


async def test_a_guest_can_turn_itself_off(simulated: SimulatedHost, host: Host, machine: Machine) -> None:
    await boot(host, machine)
    simulated.power_off(1)
    assert await host.machines.held() == {1: False}
    with pytest.raises(GuestNotReady):
        await host.guests.host_key("192.0.2.1")


# Its faults. Each call of CALLS has an entry: what it needs, the call, and how its effect shows (None: it only looks).

Act = Callable[[Host], Awaitable[object]]
M = machine_of(1)
SEED = seed_of(M, [], "", "", [])


async def nothing(host: Host) -> None:
    """No preparation."""


async def define(host: Host) -> None:
    await prepare(host, M)
    await host.machines.define(M)


async def run(host: Host) -> None:
    await boot(host, M)


async def ensure(host: Host) -> None:
    await host.images.ensure(IMAGE, ignored)


def cached(simulated: SimulatedHost) -> bool:
    return simulated.db.execute("SELECT 1 FROM images WHERE done").fetchone() is not None


ACTS: dict[str, tuple[Act, Act, Callable[[SimulatedHost], bool] | None]] = {
    "images.ensure": (nothing, ensure, cached),
    "disks.create": (ensure, lambda host: host.disks.create(1, IMAGE, 10), lambda sim: 1 in sim.inventory().disks),
    "disks.remove": (run, lambda host: host.disks.remove(1), lambda sim: 1 not in sim.inventory().disks),
    "disks.held": (nothing, lambda host: host.disks.held(), None),
    "seeds.write": (nothing, lambda host: host.seeds.write(1, SEED), lambda sim: sim.seed_of(1) == SEED),
    "seeds.remove": (run, lambda host: host.seeds.remove(1), lambda sim: 1 not in sim.inventory().seeds),
    "seeds.held": (nothing, lambda host: host.seeds.held(), None),
    "ports.attach": (nothing, lambda host: host.ports.attach(M), lambda sim: 1 in sim.inventory().ports),
    "ports.detach": (run, lambda host: host.ports.detach(1), lambda sim: 1 not in sim.inventory().ports),
    "ports.held": (nothing, lambda host: host.ports.held(), None),
    "machines.define": (
        lambda host: prepare(host, M),
        lambda host: host.machines.define(M),
        lambda sim: 1 in sim.inventory().machines,
    ),
    "machines.start": (define, lambda host: host.machines.start(1), lambda sim: sim.inventory().machines[1]),
    "machines.shut_down": (
        run,
        lambda host: host.machines.shut_down(1, 1),
        lambda sim: not sim.inventory().machines[1],
    ),
    "machines.destroy": (run, lambda host: host.machines.destroy(1), lambda sim: not sim.inventory().machines),
    "machines.held": (nothing, lambda host: host.machines.held(), None),
    "guests.host_key": (run, lambda host: host.guests.host_key("192.0.2.1"), None),
    "guests.heartbeat": (run, lambda host: host.guests.heartbeat(M, 1), None),
    "facts.report": (nothing, lambda host: host.facts.report(1), None),
    "facts.capacity": (nothing, lambda host: host.facts.capacity(), None),
}


def test_every_call_can_fail() -> None:
    assert tuple(ACTS) == CALLS


@pytest.mark.parametrize("call", CALLS)
async def test_before_has_no_effect_and_a_retry_succeeds(simulated: SimulatedHost, host: Host, call: str) -> None:
    given, act, has_effect = ACTS[call]
    await given(host)
    simulated.inject(Fault(call))
    with pytest.raises(HostUnavailable):
        await act(host)
    assert has_effect is None or not has_effect(simulated)
    await act(host)
    assert has_effect is None or has_effect(simulated)


@pytest.mark.parametrize("call", CALLS)
async def test_after_has_its_effect_and_a_retry_succeeds(simulated: SimulatedHost, host: Host, call: str) -> None:
    given, act, has_effect = ACTS[call]
    await given(host)
    simulated.inject(Fault(call, when="after"))
    with pytest.raises(HostUnavailable):
        await act(host)
    assert has_effect is None or has_effect(simulated)
    await act(host)
    assert has_effect is None or has_effect(simulated)


@pytest.mark.parametrize("call", CALLS)
async def test_hang_ends_when_cancelled_or_cleared(simulated: SimulatedHost, host: Host, call: str) -> None:
    given, act, has_effect = ACTS[call]
    await given(host)
    simulated.inject(Fault(call, when="hang", count=2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(act(host), 0.05)
    assert has_effect is None or not has_effect(simulated)
    hanging = asyncio.ensure_future(act(host))
    await asyncio.sleep(0.05)
    assert not hanging.done()
    simulated.clear()
    await asyncio.wait_for(hanging, 1)
    assert has_effect is None or has_effect(simulated)


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_is_in_the_journal(simulated: SimulatedHost, host: Host, call: str) -> None:
    given, act, _ = ACTS[call]
    await given(host)
    began = time.time()
    await act(host)
    last = simulated.calls()[-1]
    server_id = None if call.endswith("held") or call.startswith(("images", "facts")) else 1
    assert (last.call, last.server_id) == (call, server_id)
    assert began <= last.at <= time.time()


async def test_a_failed_call_is_in_the_journal_too(simulated: SimulatedHost, host: Host) -> None:
    simulated.inject(Fault("disks.held"))
    with pytest.raises(HostUnavailable):
        await host.disks.held()
    assert [call.call for call in simulated.calls()] == ["disks.held"]


@pytest.mark.parametrize("name", [*BY_NAME, "RuntimeError", "OSError"])
async def test_a_fault_raises_what_it_names(simulated: SimulatedHost, host: Host, name: str) -> None:
    simulated.inject(Fault("disks.held", error=name))
    with pytest.raises(Exception, match=r"a fault was injected into disks\.held") as failure:
        await host.disks.held()
    assert type(failure.value).__name__ == name


async def test_a_fault_strikes_so_often_and_no_more(simulated: SimulatedHost, host: Host) -> None:
    simulated.inject(Fault("disks.remove", count=2))
    outcomes = await asyncio.gather(*(host.disks.remove(1) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, HostUnavailable) for outcome in outcomes) == 2


async def test_a_fault_for_ever_lasts_until_it_is_cleared(simulated: SimulatedHost, host: Host) -> None:
    simulated.inject(Fault("disks.*", count=None))
    for _ in range(5):
        with pytest.raises(HostUnavailable):
            await host.disks.held()
    await host.seeds.held()
    simulated.clear()
    await host.disks.held()


async def test_a_fault_for_one_server_leaves_the_others_alone(simulated: SimulatedHost, host: Host) -> None:
    simulated.inject(Fault("*", count=None, server_id=2))
    await boot(host, machine_of(1))
    with pytest.raises(HostUnavailable):
        await host.ports.attach(machine_of(2))


async def test_a_fault_can_only_delay(simulated: SimulatedHost, host: Host) -> None:
    simulated.inject(Fault("disks.held", error=None, delay_s=0.1))
    began = time.monotonic()
    await host.disks.held()
    assert time.monotonic() - began >= 0.1


async def test_delayed_after_leaves_the_effect_without_an_answer(simulated: SimulatedHost, host: Host) -> None:
    await host.images.ensure(IMAGE, ignored)
    simulated.inject(Fault("disks.create", when="after", delay_s=60))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(host.disks.create(1, IMAGE, 10), 0.05)
    assert simulated.inventory().disks == {1}


async def test_a_fault_after_does_not_hide_the_calls_own_failure(simulated: SimulatedHost, host: Host) -> None:
    simulated.inject(Fault("machines.start", when="after"))
    with pytest.raises(CallerBug):
        await host.machines.start(1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fault("disks.creat"),
        lambda: Fault("disks.create", when="later"),  # type: ignore[arg-type]
        lambda: Fault("disks.create", error="HostExploded"),
        lambda: Fault("disks.create", error="print"),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(wrong: Callable[[], Fault]) -> None:
    with pytest.raises(ValueError, match=r"no call|strikes|no error"):
        wrong()


async def test_the_journal_forgets_the_oldest(
    simulated: SimulatedHost, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "JOURNAL", 10)
    for server_id in range(35):
        await host.disks.remove(server_id)
    assert [call.server_id for call in simulated.calls()] == list(range(20, 35))


# Its file


async def test_half_a_disk_and_half_a_port_stay_and_are_replaced(tmp_path: Path, machine: Machine) -> None:
    slow = replace(Latencies.none(), disk=60, ports=60)
    with SimulatedHost(tmp_path / "host.db", ROOM, slow) as dying:
        await dying.host().images.ensure(IMAGE, ignored)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(prepare(dying.host(), machine), 0.1)
    with SimulatedHost(tmp_path / "host.db", latencies=Latencies.none()) as simulated:
        host = simulated.host()
        assert await holdings(host, 1) == {"disk", "seed", "port"}
        with pytest.raises(PartsMissing, match="server 1 has no disk and no port"):
            await host.machines.define(machine)
        await boot(host, machine)
        await forget(host, 1)
        assert simulated.inventory().is_empty


async def test_what_is_removed_while_it_is_made_does_not_come_back(tmp_path: Path) -> None:
    with SimulatedHost(tmp_path / "host.db", ROOM, replace(Latencies.none(), disk=0.05)) as simulated:
        host = simulated.host()
        await host.images.ensure(IMAGE, ignored)
        making = asyncio.ensure_future(host.disks.create(1, IMAGE, 10))
        await asyncio.sleep(0.01)
        await host.disks.remove(1)
        with pytest.raises(HostUnavailable):
            await making
        assert simulated.inventory().is_empty


async def test_one_fetch_serves_all_and_another_takes_over_when_it_dies(tmp_path: Path) -> None:
    with SimulatedHost(tmp_path / "host.db", latencies=replace(Latencies.none(), fetch=0.2)) as simulated:
        host = simulated.host()
        heard: list[int] = []
        first = asyncio.ensure_future(host.images.ensure(IMAGE, ignored))
        second = asyncio.ensure_future(host.images.ensure(IMAGE, heard.append))
        await asyncio.sleep(0.12)
        assert len(heard) > 2
        first.cancel()
        began = time.monotonic()
        await second
        assert time.monotonic() - began > 0.15
        began = time.monotonic()
        await host.images.ensure(IMAGE, ignored)
        assert time.monotonic() - began < 0.15


def test_an_observer_sees_the_host_as_it_was_described(tmp_path: Path, simulated: SimulatedHost) -> None:
    with SimulatedHost(simulated.path) as observer:
        assert observer.settings.capacity() == ROOM
        assert observer.settings.latencies() == Latencies.none()
        assert observer.inventory() == Inventory(frozenset(), frozenset(), frozenset(), {})
        assert observer.inventory().is_empty
    with SimulatedHost(tmp_path / "undescribed.db") as fresh:
        assert fresh.settings.latencies() == Latencies()


async def test_room_and_load_can_change_under_a_worker(simulated: SimulatedHost, host: Host) -> None:
    with SimulatedHost(simulated.path, capacity=Resources(1, 2, 3)) as operator:
        operator.set_load(io_wait=0.5, net_saturation=0.25)
    report = await host.facts.report(1)
    assert (report.cores, report.memory_mib, report.disk_gib) == (1, 2, 3)
    assert (report.io_wait, report.net_saturation) == (0.5, 0.25)


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(lambda _: SimulatedHost(tmp_path / "new" / "host.db"), range(16)))
    assert all(simulated.inventory().is_empty for simulated in opened)
    for simulated in opened:
        simulated.close()


WORKER = """
import asyncio, sys
from pathlib import Path
from tests.drivers.host_contract import boot
from infra.drivers.simulated import Latencies, SimulatedHost
from tests.drivers.test_simulated import machine_of

async def work():
    host = SimulatedHost(Path(sys.argv[1]), latencies=Latencies.none()).host()
    for server_id in (1, 2):
        await boot(host, machine_of(server_id))

asyncio.run(work())
"""


@pytest.fixture
def killed_worker(simulated: SimulatedHost) -> None:
    """Another process booted server 1 and was killed while it waited for the answer to the start of server 2."""
    simulated.inject(Fault("machines.start", when="after", server_id=2, delay_s=60))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(simulated.path)], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not simulated.inventory().machines.get(2):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        worker.kill()
    assert worker.wait() == -signal.SIGKILL


@pytest.mark.usefixtures("killed_worker")
async def test_the_host_outlives_a_worker_that_is_killed(simulated: SimulatedHost) -> None:
    both = frozenset({1, 2})
    assert simulated.inventory() == Inventory(both, both, both, {1: True, 2: True})
    assert [call.server_id for call in simulated.calls() if call.call == "machines.start"] == [1, 2]
    successor = simulated.host()
    await boot(successor, machine_of(2))
    assert await answer(successor, "192.0.2.2", 1) == (await successor.guests.heartbeat(machine_of(2), 1)).host_key
    for server_id in both:
        await forget(successor, server_id)
    assert simulated.inventory().is_empty
