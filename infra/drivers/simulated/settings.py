"""What a simulated host was made with, kept in its file: whoever opens the file sees the same host.

Read anew on every use, so that a test can change the room or the load under a worker in another process.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from infra.domain.models import Resources
from infra.drivers.simulated.latencies import Latencies

ROOM = Resources(cores=16, memory_mib=65_536, disk_gib=1_000)
"""Of a host that nobody described."""


@dataclass(frozen=True, slots=True)
class Load:
    """Shares, as a host reports them."""

    cpu_busy: float = 0.0
    io_wait: float = 0.0
    net_saturation: float = 0.0


class Settings:
    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def write(self, name: str, value: object) -> None:
        self.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, json.dumps(value)))

    def read(self, name: str) -> Any:
        """The value last written; None when none was."""
        row = self.db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def describe(self, capacity: Resources | None, latencies: Latencies | None, key_seed: int | None) -> None:
        """Write what is given; the rest stays as it was."""
        if capacity is not None:
            self.write("capacity", asdict(capacity))
        if latencies is not None:
            self.write("latencies", asdict(latencies))
        if key_seed is not None:
            self.write("key_seed", key_seed)

    def capacity(self) -> Resources:
        return Resources(**(self.read("capacity") or asdict(ROOM)))

    def latencies(self) -> Latencies:
        return Latencies(**(self.read("latencies") or {}))

    def key_seed(self) -> int:
        return int(self.read("key_seed") or 0)

    def load(self) -> Load:
        return Load(**(self.read("load") or {}))
