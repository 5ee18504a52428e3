"""A node, and a client beside the nodes: where things run, how they are started in there, and how they are lost.

A node is a machine, or a whole room of them: network, processes, mounts, host name and /run of its own, over a
directory that survives it. A client has only a network of its own: what it mounts is seen by everybody on this machine.
"""

from __future__ import annotations

import json
import resource
import select
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.lab import programs
from infra.lab.errors import LabError
from infra.lab.mounts import is_mounted
from infra.lab.processes import Process, end_all, kill, processes_in, wait_until
from infra.runtime_dir import mounts_below

REQUESTS = "/run/keep"
INIT = Path(__file__).with_name("init.py")
SYSTEM = ("/usr", "/etc", "/var", "/opt")
OPEN_FILES = 65536
START_PATIENCE = 60.0
LEAVE_PATIENCE = 20.0
WRAPPERS = ("unshare", "nsenter", "setsid")


@dataclass(frozen=True, slots=True)
class Node:
    """``directory``: what its daemons keep, across kills. ``namespace``: its file in /run/netns. ``address``: on the
    lab's switch, empty without a cable to it. ``kept``: places whose mounts it sees, besides the system's."""

    name: str
    address: str
    namespace: Path
    directory: Path
    kept: tuple[Path, ...] = ()

    def start(self) -> None:
        """Nothing runs in it afterwards but its first process. One that runs already stays as it is."""
        if self.init() is not None:
            return
        end_all(self.namespace)  # what a killed start left
        self.directory.mkdir(parents=True, exist_ok=True)
        kept = (str(self.directory), sys.prefix, sys.base_prefix, str(INIT.parent), *map(str, self.kept), *SYSTEM)
        fresh = ("unshare", "--mount", "--propagation", "private", "--pid", "--uts", "--ipc", "--fork", "--mount-proc")
        first = (sys.executable, "-I", "-S", str(INIT), self.name, *kept)
        argv = ("setsid", "--fork", "nsenter", f"--net={self.namespace}", "--", *fresh, "--", *first)
        with (self.directory / "init.log").open("w") as log:
            starting = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert starting.stdout is not None
        with starting.stdout as said:
            answered, _, _ = select.select([said], [], [], START_PATIENCE)
            ready = bool(answered) and said.readline() == b"ready\n"
        starting.wait(START_PATIENCE)
        if not ready:
            end_all(self.namespace)
            raise LabError(f"{self.name} does not start: {(self.directory / 'init.log').read_text().strip()}")

    def kill(self) -> None:
        """SIGKILL for all of it at once: its peers see connections reset, as of a machine that lost its processes."""
        init = self.init()
        if init is not None:
            kill(init)
        end_all(self.namespace)

    def init(self) -> int | None:
        """The pid of its first process, as seen from outside; None: the zone is down."""
        return next((one.pid for one in processes_in(self.namespace) if one.is_init), None)

    def run(self, *argv: str, patience: float = programs.PATIENCE) -> str:
        """Run a program in there. A daemon that it leaves behind is the zone's."""
        init = self.init()
        if init is None:
            raise LabError(f"{self.name} is down")
        return programs.run(*self.entering(init), *_with_files(argv), patience=patience)

    def keep(self, *argv: str) -> None:
        """Have a daemon run in there from now on, in the foreground: whenever it ends, it is started again.

        The zone's first process sees to that, so what is kept is lost with a kill.
        """
        init = self.init()
        if init is None:
            raise LabError(f"{self.name} is down")
        line = json.dumps(_with_files(argv)) + "\n"
        with there(init, Path(REQUESTS)).open("w") as requests:
            requests.write(line)

    def daemons(self) -> list[Process]:
        return [one for one in processes_in(self.namespace) if not one.is_init and one.name not in WRAPPERS]

    def entering(self, init: int) -> tuple[str, ...]:
        """What makes a command run in there."""
        return ("nsenter", "--target", str(init), "--mount", "--pid", "--net", "--uts", "--ipc", "--")


@dataclass(frozen=True, slots=True)
class Seat:
    """A client on a node: what it mounts is seen by that node alone, and goes with it."""

    node: Node
    mount: Path

    @property
    def name(self) -> str:
        return self.node.name

    def run(self, *argv: str, patience: float = programs.PATIENCE) -> str:
        return self.node.run(*argv, patience=patience)

    def mounted(self) -> bool:
        init = self.node.init()
        return init is not None and self.mount in mounts_below(self.mount, init)


Zone = Node
"""What engines call a node of theirs: a machine room in miniature."""


@dataclass(frozen=True, slots=True)
class Client:
    """``mount``: where on this machine the engine's file system is seen through this client."""

    name: str
    address: str
    namespace: Path
    mount: Path

    def run(self, *argv: str, patience: float = programs.PATIENCE, text: str = "", complaints: bool = False) -> str:
        command = (*self.prefix(), *_with_files(argv))
        return programs.run(*command, patience=patience, text=text, complaints=complaints)

    def prefix(self) -> tuple[str, ...]:
        """What makes a command speak from this client's place in the network."""
        return ("nsenter", f"--net={self.namespace}", "--")

    def mounted(self) -> bool:
        return is_mounted(self.mount)

    def alive(self) -> bool:
        """Whether somebody in there still serves the mount."""
        return bool(processes_in(self.namespace))

    def leave(self) -> None:
        """Unmount in order, if that goes: who just ends is waited for by the others, in CephFS for a minute."""
        with suppress(LabError):
            programs.run("umount", str(self.mount), patience=LEAVE_PATIENCE)
            wait_until(lambda: not self.alive(), LEAVE_PATIENCE)

    def end(self) -> None:
        end_all(self.namespace)


def there(init: int, path: Path) -> Path:
    """A path of that node's, as it is seen from outside."""
    return Path(f"/proc/{init}/root{path}")


def _with_files(argv: tuple[str, ...]) -> tuple[str, ...]:
    """A shell's usual 1024 are too few for a daemon; where the hard limit is lower, as many as it allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    return ("prlimit", f"--nofile={soft}:", *argv)
