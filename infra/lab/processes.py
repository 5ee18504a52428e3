"""The processes of a network namespace: found without any note of them, so that nothing can be forgotten.

Whatever the lab starts lives in a network namespace of the lab's, and children inherit it. So a lab that was killed in
the middle of something is still found in full.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.lab.errors import LabError

END_PATIENCE = 30.0
"""Seconds that killed processes have to be gone: the kernel closes their files first."""


@dataclass(frozen=True, slots=True)
class Process:
    """``is_init``: it is the first one of a process namespace; with it all of them end."""

    pid: int
    name: str
    is_init: bool


def processes_in(namespace: Path) -> list[Process]:
    """Whoever lives in that network namespace now (a file of /run/netns), without the process that asks."""
    try:
        wanted = os.stat(namespace)
    except FileNotFoundError:
        return []
    return [one for pid in _pids() if (one := _process(pid, (wanted.st_dev, wanted.st_ino))) is not None]


def end_all(namespace: Path) -> None:
    """Kill everything in it, and wait until it is gone."""

    def gone() -> bool:
        left = processes_in(namespace)
        for process in left:
            kill(process.pid)
        return not left

    if not wait_until(gone, END_PATIENCE):
        names = ", ".join(f"{one.name} ({one.pid})" for one in processes_in(namespace))
        raise LabError(f"these processes of {namespace.name} cannot be ended: {names}")


def kill(pid: int) -> None:
    """SIGKILL; whoever is gone already is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(met: Callable[[], bool], patience: float, every: float = 0.1) -> bool:
    """Whether the condition was met within ``patience`` seconds; asked at once, then ``every`` so many."""
    deadline = time.monotonic() + patience
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())


def _process(pid: int, namespace: tuple[int, int]) -> Process | None:
    try:
        found = os.stat(f"/proc/{pid}/ns/net")
        if (found.st_dev, found.st_ino) != namespace:
            return None
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # it ended in the meantime
    told = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    numbers = told.get("NSpid", "").split()
    return Process(pid, told["Name"].strip(), is_init=len(numbers) > 1 and numbers[-1] == "1")
