"""A supervisor of child processes: started when ready, restarted when they die, never left behind.

Each child leads a session of its own, so that Ctrl-C in the terminal reaches only us and we end the children in
order; and the kernel ends it when we are killed (PR_SET_PDEATHSIG, by setpriv, which also changes the user).
A pid file per child tells who it is; a leftover of a killed predecessor is ended before a new one starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.beside import end

LOG_LIMIT = 16 * 2**20  # bytes: a log beyond that is set aside (one generation) when its process starts
TAIL_LINES = 20
STEADY = 30.0  # seconds after which a child counts as healthy again and its backoff starts anew
BACKOFF_FIRST, BACKOFF_MAX = 0.2, 10.0


class ProcessError(Exception):
    """A child did not become ready; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """What to run, as whom, when it counts as ready, and how it likes to be ended."""

    name: str
    argv: tuple[str, ...]
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)  # on top of our own
    user: str | None = None  # None: as we are
    restart: bool = True
    ready: Callable[[], Awaitable[bool]] | None = None  # asked every 50 ms; None: ready once started
    ready_timeout: float = 120.0  # seconds
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 15.0  # seconds until SIGKILL
    death_signal: signal.Signals = signal.SIGKILL  # from the kernel, when we die first


class Supervisor:
    """Starts processes, keeps them alive, ends them newest first. Used from one event loop, in its main thread."""

    def __init__(self, pid_dir: Path, say: Callable[[str], None]) -> None:
        self._pid_dir = pid_dir
        self._say = say
        self._children: list[_Child] = []

    async def start(self, process: Process) -> None:
        """Start it and wait until it is ready; on failure nothing of it is left."""
        self._pid_dir.mkdir(parents=True, exist_ok=True)
        child = _Child(process, self._pid_dir / f"{process.name}.pid", self._say)
        await child.start()
        self._children.append(child)

    async def stop(self, name: str | None = None) -> None:
        """End all children (or the one of that name), newest first."""
        for child in [child for child in reversed(self._children) if name in (None, child.process.name)]:
            await child.stop()
            self._children.remove(child)

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _Child:
    def __init__(self, process: Process, pid_file: Path, say: Callable[[str], None]) -> None:
        self.process = process
        self._pid_file = pid_file
        self._say = say
        self._running: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await end_leftover(self._pid_file, self.process.stop_signal, self.process.stop_timeout)
        try:
            await self._spawn()
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep_alive(), name=f"keep {self.process.name} alive")

    async def stop(self) -> None:
        if self._watch is not None:
            await end([self._watch])
            self._watch = None
        if (running := self._running) is not None:
            await self._end(running)
            self._running = None
        self._pid_file.unlink(missing_ok=True)

    async def _spawn(self) -> None:
        process = self.process
        _set_aside(process.log_path)
        with process.log_path.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *_wrapped(process),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **process.env},
                cwd="/",  # the child's user may not be allowed where we are
                start_new_session=True,
            )
        pid = self._running.pid
        self._pid_file.write_text(f"{pid} {_born(pid)}\n")

    async def _until_ready(self) -> None:
        process, running = self.process, self._running
        assert running is not None
        deadline = time.monotonic() + process.ready_timeout
        while running.returncode is None:
            if process.ready is None or await process.ready():
                return
            if time.monotonic() > deadline:
                raise ProcessError(f"{process.name} was not ready after {process.ready_timeout:g} s{self._tail()}")
            await asyncio.sleep(0.05)
        raise ProcessError(f"{process.name} ended with {_ending(running.returncode)} before it was ready{self._tail()}")

    async def _keep_alive(self) -> None:
        backoff = BACKOFF_FIRST
        while (running := self._running) is not None:
            started = time.monotonic()
            ending = _ending(await running.wait())
            if not self.process.restart:
                self._say(f"{self.process.name} ended with {ending}")
                return
            if time.monotonic() - started > STEADY:
                backoff = BACKOFF_FIRST
            self._say(f"{self.process.name} ended with {ending}: starting it again in {backoff:.1f} s")
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX)
            await self._revive()

    async def _revive(self) -> None:
        begun = time.monotonic()
        try:
            await self._spawn()
            await self._until_ready()
        except (ProcessError, OSError) as error:
            self._say(str(error))  # alive but not ready, or dead again: either way the next round sees to it
            return
        self._say(f"{self.process.name} is back after {time.monotonic() - begun:.1f} s")

    async def _end(self, running: asyncio.subprocess.Process) -> None:
        for number, patience in ((self.process.stop_signal, self.process.stop_timeout), (signal.SIGKILL, 10.0)):
            if running.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                running.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await running.wait()
        with contextlib.suppress(ProcessLookupError):  # whatever it had started in its session
            os.killpg(running.pid, signal.SIGKILL)

    def _tail(self) -> str:
        try:
            lines = self.process.log_path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        except FileNotFoundError:
            lines = []
        return "".join(f"\n  {line}" for line in [f"; the end of {self.process.log_path}:", *lines])


async def end_leftover(pid_file: Path, number: signal.Signals, patience: float) -> None:
    """End the child of a killed predecessor, if it is still the process that the pid file means."""
    pid, born = _recorded(pid_file)
    for attempt, seconds in ((number, patience), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + seconds
        if born and _born(pid) == born:
            os.kill(pid, attempt)
        while born and _born(pid) == born and time.monotonic() < deadline:  # noqa: ASYNC110 - not our child: no event
            await asyncio.sleep(0.02)


def _recorded(pid_file: Path) -> tuple[int, int]:
    try:
        pid, born = map(int, pid_file.read_text().split())
    except (FileNotFoundError, ValueError):
        return 0, 0
    return pid, born


def _wrapped(process: Process) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ProcessError("the program setpriv is missing: install the package util-linux")
    words = [setpriv, f"--pdeathsig={process.death_signal.name.removeprefix('SIG')}"]
    if process.user is not None:
        user = pwd.getpwnam(process.user)
        words += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    return (*words, "--", *process.argv)


def _born(pid: int) -> int:
    """When it started, in clock ticks since boot; 0 when it is gone (or a zombie): a pid alone may be reused."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _set_aside(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(log.suffix + ".1"))


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
