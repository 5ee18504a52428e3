"""The supervisor: ready before it goes on, back after a death, no orphan left, the newest ended first."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workers.processes import Process, ProcessError, Supervisor

SLEEPER = ("sleep", "1000")

SUPERVISED = """
import asyncio, sys
from pathlib import Path
from workers.processes import Process, Supervisor

async def main(place):
    async with Supervisor(place / "pids", print) as supervisor:
        await supervisor.start(Process("plain", ("sleep", "1000"), place / "log"))
        await supervisor.start(Process("other", ("sleep", "1000"), place / "log", user="nobody"))
        print("up", flush=True)
        await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1])))
"""


def pid_of(place: Path, name: str) -> int:
    return int((place / "pids" / f"{name}.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def owner(pid: int) -> str:
    return Path(f"/proc/{pid}").owner()


def sleeper(tmp_path: Path, born: int | None = None) -> subprocess.Popen[bytes]:
    """A process that an earlier supervisor's pid file tells of."""
    process = subprocess.Popen(SLEEPER)
    true = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    (tmp_path / "pids").mkdir()
    (tmp_path / "pids" / "one.pid").write_text(f"{process.pid} {born or true}\n")
    return process


async def eventually(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Supervisor:
    return Supervisor(tmp_path / "pids", said.append)


async def test_start_waits_until_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def ready() -> bool:
        return mark.exists()

    argv = ("sh", "-c", f"sleep 0.3; touch {mark}; exec sleep 1000")
    async with supervisor:
        await supervisor.start(Process("slow", argv, tmp_path / "log", ready=ready))
        assert mark.exists()
        pid = pid_of(tmp_path, "slow")
        assert os.getsid(pid) == pid != os.getsid(0)  # out of reach of Ctrl-C in our terminal
    assert not alive(pid)
    assert not (tmp_path / "pids" / "slow.pid").exists()


async def test_a_child_that_never_gets_ready_is_told_by_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    dying = ("sh", "-c", "for n in $(seq 30); do echo line $n; done; exit 3")
    with pytest.raises(ProcessError, match=r"(?s)dying ended with exit code 3 .*line 11\n.*line 30$") as caught:
        await supervisor.start(Process("dying", dying, tmp_path / "log", ready=never))
    assert "line 10\n" not in str(caught.value)
    hanging = Process("hanging", SLEEPER, tmp_path / "log2", ready=never, ready_timeout=0.2)
    with pytest.raises(ProcessError, match=r"hanging was not ready after 0.2 s"):
        await supervisor.start(hanging)
    assert not list((tmp_path / "pids").iterdir())


async def test_a_missing_program_is_told(supervisor: Supervisor, tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(ProcessError, match="no-such-program"):
        await supervisor.start(Process("none", ("no-such-program",), tmp_path / "log", ready=never))


async def test_a_killed_child_comes_back(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    async with supervisor:
        await supervisor.start(Process("phoenix", SLEEPER, tmp_path / "log"))
        for _ in range(2):
            first = pid_of(tmp_path, "phoenix")
            os.kill(first, signal.SIGKILL)
            await eventually(lambda first=first: pid_of(tmp_path, "phoenix") != first)
    assert said[0] == "phoenix ended with SIGKILL: starting it again in 0.2 s"
    assert said[1].startswith("phoenix is back after")
    assert "in 0.4 s" in said[2]


async def test_one_that_need_not_come_back_does_not(supervisor: Supervisor, tmp_path: Path, said: list[str]) -> None:
    async with supervisor:
        await supervisor.start(Process("once", ("sh", "-c", "exit 4"), tmp_path / "log", restart=False))
        await eventually(lambda: said)
    assert said == ["once ended with exit code 4"]


async def test_the_newest_is_ended_first_and_the_stubborn_are_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    def script(name: str, on_term: str) -> tuple[str, ...]:
        # Bourne shells run a trap only between commands, so the sleep goes into the background.
        return ("sh", "-c", f"trap '{on_term}' TERM; touch {tmp_path}/{name}; while :; do sleep 0.05; done")

    ended = tmp_path / "ended"
    for name in ("first", "second"):
        process = Process(name, script(name, f"echo {name} >> {ended}; exit 0"), tmp_path / "log")
        await supervisor.start(process)
        await eventually((tmp_path / name).exists)
    await supervisor.start(Process("stubborn", script("stubborn", ""), tmp_path / "log", stop_timeout=0.3))
    await eventually((tmp_path / "stubborn").exists)
    pid = pid_of(tmp_path, "stubborn")
    await supervisor.stop()
    assert ended.read_text() == "second\nfirst\n"
    assert not alive(pid)


async def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    supervised = await asyncio.to_thread(_supervised, tmp_path)
    pids = [pid_of(tmp_path, "plain"), pid_of(tmp_path, "other")]
    assert all(map(alive, pids))
    await eventually(lambda: owner(pids[1]) == "nobody")  # the kernel forgets the wish when a process changes its user
    supervised.kill()
    await asyncio.to_thread(supervised.communicate)
    await eventually(lambda: not any(map(alive, pids)), 5)


async def test_a_leftover_is_ended_before_the_next_starts(supervisor: Supervisor, tmp_path: Path) -> None:
    leftover = sleeper(tmp_path)
    async with supervisor:
        await supervisor.start(Process("one", SLEEPER, tmp_path / "log"))
        assert leftover.wait(1) == -signal.SIGTERM


async def test_a_reused_pid_is_left_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    stranger = sleeper(tmp_path, born=1)
    async with supervisor:
        await supervisor.start(Process("one", SLEEPER, tmp_path / "log"))
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def _supervised(place: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, str(place)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process
