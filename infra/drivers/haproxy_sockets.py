"""Talking to a running HAProxy: to its master about workers, to its newest worker about servers. Blocking.

Both are sockets that take one line and answer with text (its management guide, section 9).
"""

from __future__ import annotations

import csv
import io
import socket
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 5.0  # seconds


class Silent(Exception):
    """It does not answer: it is not running, or on its way."""


@dataclass(frozen=True, slots=True)
class Processes:
    """``failed``: reloads that failed since the last that did not. ``workers``: the newest first."""

    master: int
    reloads: int
    failed: int
    workers: tuple[int, ...]
    old: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SeenServer:
    """``status`` and ``check`` in HAProxy's words: UP, DOWN, "UP 1/3", ...; INI: not checked yet."""

    proxy: str
    name: str
    status: str
    check: str


class Sockets:
    """Paths are short: the kernel takes 107 characters."""

    def __init__(self, directory: Path) -> None:
        self.master, self.stats = directory / "master.sock", directory / "stats.sock"

    def reload(self) -> None:
        """Ask for it. It answers nothing, and hangs up."""
        _ask(self.master, "reload")

    def processes(self) -> Processes:
        return _processes(_ask(self.master, "show proc"))

    def worker(self) -> int:
        """The worker that answers on the socket of statistics."""
        told = dict(line.split(": ", 1) for line in _ask(self.stats, "show info").splitlines() if ": " in line)
        if "Pid" not in told:
            raise Silent("it says nothing of itself")
        return int(told["Pid"])

    def states(self) -> str:
        """As a file of server states has it."""
        return _ask(self.stats, "show servers state")

    def servers(self) -> list[SeenServer]:
        text = _ask(self.stats, "show stat -1 4 -1").removeprefix("# ")
        return [
            SeenServer(row["pxname"], row["svname"], row["status"], row.get("check_status") or "")
            for row in csv.DictReader(io.StringIO(text))
        ]


def _ask(path: Path, line: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk:
            talk.settimeout(PATIENCE)
            talk.connect(str(path))
            talk.sendall(f"{line}\n".encode())
            talk.shutdown(socket.SHUT_WR)  # one question: it hangs up when it has answered
            parts = []
            while part := talk.recv(65536):
                parts.append(part)
            return b"".join(parts).decode(errors="replace")
    except OSError as error:
        raise Silent(f"{path} does not answer: {error}") from error


def _processes(text: str) -> Processes:
    master, reloads, failed, found = 0, 0, 0, {"workers": [], "old workers": []}  # type: ignore[var-annotated]
    section = ""
    for line in text.splitlines():
        words = line.replace("[failed:", "").replace("]", "").split()
        if line.startswith("# "):
            section = line.removeprefix("# ").strip()
        elif len(words) > 2 and words[1] == "master":
            master, reloads = int(words[0]), int(words[2])
            failed = int(words[3]) if "[failed:" in line else 0
        elif len(words) > 1 and words[1] == "worker" and section in found:
            found[section].append(int(words[0]))
    if not master:
        raise Silent("the master says nothing of itself")
    return Processes(master, reloads, failed, tuple(found["workers"]), tuple(found["old workers"]))
