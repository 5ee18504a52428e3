"""The simulated host fails exactly as ordered: before, after, or never coming back, in every call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from infra.domain.errors import BY_NAME, HostUnavailable
from infra.domain.models import Machine, Resources
from infra.domain.seed import Surroundings, seed_of
from infra.drivers.protocols import Host, PartsMissing
from infra.drivers.simulated import CALLS, Fault, Inventory, Latencies, SimulatedHost, faults
from tests.drivers.conftest import IMAGE, ROOM, machine_of
from tests.drivers.host_contract import boot, forget, holdings, ignored, prepare
from tests.port_plans import plan_for

# Its faults. Each call of CALLS has an entry: what it needs, the call, and how its effect shows (None: it only looks).

Act = Callable[[Host], Awaitable[object]]
M = machine_of(1)
SEED = seed_of(M, plan_for(M), [], "", "", Surroundings())
PLAN, TWO = plan_for(M), plan_for(M.with_members((71, 72)))


async def nothing(host: Host) -> None:
    """No preparation."""


async def define(host: Host) -> None:
    await prepare(host, M)
    await host.machines.define(M)


async def widen(host: Host) -> None:
    await boot(host, M.with_members((71,)))
    await host.ports.attach(TWO)


async def run(host: Host) -> None:
    await boot(host, M)


async def ensure(host: Host) -> None:
    await host.images.ensure(IMAGE, ignored)


def cached(simulated: SimulatedHost) -> bool:
    return simulated.db.execute("SELECT 1 FROM images WHERE done").fetchone() is not None


ACTS: dict[str, tuple[Act, Act, Callable[[SimulatedHost], bool] | None]] = {
    "images.ensure": (nothing, ensure, cached),
    "images.prefetch": (nothing, lambda host: host.images.prefetch(IMAGE), None),
    "disks.create": (ensure, lambda host: host.disks.create(1, IMAGE, 10), lambda sim: 1 in sim.inventory().disks),
    "disks.remove": (run, lambda host: host.disks.remove(1), lambda sim: 1 not in sim.inventory().disks),
    "disks.held": (nothing, lambda host: host.disks.held(), None),
    "seeds.write": (nothing, lambda host: host.seeds.write(1, SEED), lambda sim: sim.seed_of(1) == SEED),
    "seeds.remove": (run, lambda host: host.seeds.remove(1), lambda sim: 1 not in sim.inventory().seeds),
    "seeds.held": (nothing, lambda host: host.seeds.held(), None),
    "ports.attach": (nothing, lambda host: host.ports.attach(PLAN), lambda sim: 1 in sim.inventory().ports),
    "ports.detach": (run, lambda host: host.ports.detach(1), lambda sim: 1 not in sim.inventory().ports),
    "ports.held": (nothing, lambda host: host.ports.held(), None),
    "machines.define": (
        lambda host: prepare(host, M),
        lambda host: host.machines.define(M),
        lambda sim: 1 in sim.inventory().machines,
    ),
    "machines.unplug": (widen, lambda host: host.machines.unplug(1, (72,)), lambda sim: sim.nics_of(1) == set()),
    "machines.plug": (widen, lambda host: host.machines.plug(1, (71, 72)), lambda sim: sim.nics_of(1) == {71, 72}),
    "machines.start": (define, lambda host: host.machines.start(1), lambda sim: sim.inventory().machines[1]),
    "machines.shut_down": (
        run,
        lambda host: host.machines.shut_down(1, 1),
        lambda sim: not sim.inventory().machines[1],
    ),
    "machines.destroy": (run, lambda host: host.machines.destroy(1), lambda sim: not sim.inventory().machines),
    "machines.held": (nothing, lambda host: host.machines.held(), None),
    "machines.states": (nothing, lambda host: host.machines.states(), None),
    "guests.host_key": (run, lambda host: host.guests.host_key("192.0.2.1"), None),
    "guests.heartbeat": (run, lambda host: host.guests.heartbeat(M, 1), None),
    "guests.heard": (run, lambda host: host.guests.heard([1]), None),
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
    await asyncio.wait_for(hanging, 60)
    assert has_effect is None or has_effect(simulated)


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_is_in_the_journal(simulated: SimulatedHost, host: Host, call: str) -> None:
    given, act, _ = ACTS[call]
    await given(host)
    began = time.time()
    await act(host)
    last = simulated.calls()[-1]
    of_all = call.endswith(("held", "states", "heard")) or call.startswith(("images", "facts"))
    server_id = None if of_all else 1
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
        await host.ports.attach(plan_for(machine_of(2)))


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
    with pytest.raises(PartsMissing):
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
    with SimulatedHost(tmp_path / "host.db", latencies=replace(Latencies.none(), fetch=1.0)) as simulated:
        host = simulated.host()
        heard: list[int] = []
        again: list[int] = []
        first = asyncio.ensure_future(host.images.ensure(IMAGE, ignored))
        second = asyncio.ensure_future(host.images.ensure(IMAGE, heard.append))
        while len(heard) < 3:  # noqa: ASYNC110  it is a list
            await asyncio.sleep(0.01)
        first.cancel()
        began = time.monotonic()
        await second
        assert time.monotonic() - began >= 1.0
        await host.images.ensure(IMAGE, again.append)
        assert again == []


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
        operator.set_load(io_wait=0.5, net_saturation=0.25, cpu_busy=0.75)
    report = await host.facts.report(1)
    assert (report.cores, report.memory_mib, report.disk_gib) == (1, 2, 3)
    assert (report.cpu_busy, report.io_wait, report.net_saturation) == (0.75, 0.5, 0.25)


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(lambda _: SimulatedHost(tmp_path / "new" / "host.db"), range(16)))
    assert all(simulated.inventory().is_empty for simulated in opened)
    for simulated in opened:
        simulated.close()
